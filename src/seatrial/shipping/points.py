"""The named crash points of `seatrial ship`, beside those of the engine: a test kills it at each of them."""

BASE_POINTS = ("base/unpacked", "base/written", "base/stored")
"""Only passed when a base is made here, which takes half a minute."""

SHIP_POINTS = (
    "ship/copied",
    "ship/fixed",
    "image/base-ready",
    "image/resolved",
    "fetch/wheel-stored",
    "layer/written",
    "layer/stored",
    "image/blobs-written",
    "image/indexed",
    "registry.push.authenticated",
    "registry.push.blob",
    "registry.push.blobs",
    "registry.push.manifest",
    "registry.push.verified",
    "registry.push.tag",
    "registry.pull.manifest",
    "registry.pull.blob",
    "registry.pull.blobs",
    "ship/unpacked",
    "ship/replicas-ready",
    "ship/traffic-open",
)
