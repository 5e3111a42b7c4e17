"""Which Debian package has a shared library, and which distribution has a Python module, where names do not say it.

Libraries: the package names of Debian 12 (packages.debian.org, "Search the contents of packages"); later suites and
Ubuntu provide these names, too, after the change to 64-bit time. All others follow from Debian Policy 8.1: the name
of a library's package is made of its soname. Modules: the distributions' own pages on PyPI.
"""

from __future__ import annotations

import re

LIBRARIES = {
    "libGL.so.1": "libgl1", "libEGL.so.1": "libegl1", "libGLX.so.0": "libglx0", "libOpenGL.so.0": "libopengl0",
    "libGLESv2.so.2": "libgles2", "libGLU.so.1": "libglu1-mesa", "libOSMesa.so.8": "libosmesa6", "libgbm.so.1": "libgbm1",
    "libgthread-2.0.so.0": "libglib2.0-0", "libglib-2.0.so.0": "libglib2.0-0", "libgobject-2.0.so.0": "libglib2.0-0",
    "libgio-2.0.so.0": "libglib2.0-0", "libgmodule-2.0.so.0": "libglib2.0-0", "libgomp.so.1": "libgomp1",
    "libgfortran.so.5": "libgfortran5", "libquadmath.so.0": "libquadmath0", "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1", "libatomic.so.1": "libatomic1", "libSM.so.6": "libsm6", "libICE.so.6": "libice6",
    "libX11.so.6": "libx11-6", "libX11-xcb.so.1": "libx11-xcb1", "libXext.so.6": "libxext6", "libXrender.so.1": "libxrender1",
    "libXi.so.6": "libxi6", "libXtst.so.6": "libxtst6", "libXrandr.so.2": "libxrandr2", "libXfixes.so.3": "libxfixes3",
    "libXcursor.so.1": "libxcursor1", "libXdamage.so.1": "libxdamage1", "libXcomposite.so.1": "libxcomposite1",
    "libXinerama.so.1": "libxinerama1", "libXxf86vm.so.1": "libxxf86vm1", "libXft.so.2": "libxft2", "libXt.so.6": "libxt6",
    "libxcb.so.1": "libxcb1", "libxkbcommon.so.0": "libxkbcommon0", "libdbus-1.so.3": "libdbus-1-3",
    "libnss3.so": "libnss3", "libnspr4.so": "libnspr4", "libsmime3.so": "libnss3", "libnssutil3.so": "libnss3",
    "libatk-1.0.so.0": "libatk1.0-0", "libatk-bridge-2.0.so.0": "libatk-bridge2.0-0", "libatspi.so.0": "libatspi2.0-0",
    "libcups.so.2": "libcups2", "libasound.so.2": "libasound2", "libpulse.so.0": "libpulse0", "libdrm.so.2": "libdrm2",
    "libpango-1.0.so.0": "libpango-1.0-0", "libpangocairo-1.0.so.0": "libpangocairo-1.0-0",
    "libpangoft2-1.0.so.0": "libpangoft2-1.0-0", "libcairo.so.2": "libcairo2", "libgdk_pixbuf-2.0.so.0": "libgdk-pixbuf-2.0-0",
    "libgtk-3.so.0": "libgtk-3-0", "libharfbuzz.so.0": "libharfbuzz0b", "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6", "libsndfile.so.1": "libsndfile1", "libportaudio.so.2": "libportaudio2",
    "libmagic.so.1": "libmagic1", "libpq.so.5": "libpq5", "libmariadb.so.3": "libmariadb3",
    "libodbc.so.2": "unixodbc", "libodbcinst.so.2": "odbcinst1debian2", "libsqlite3.so.0": "libsqlite3-0",
    "libssl.so.3": "libssl3", "libcrypto.so.3": "libssl3", "libffi.so.8": "libffi8", "libz.so.1": "zlib1g", "libbz2.so.1.0": "libbz2-1.0",
    "liblzma.so.5": "liblzma5", "libzstd.so.1": "libzstd1", "liblz4.so.1": "liblz4-1", "libsnappy.so.1": "libsnappy1v5",
    "libexpat.so.1": "libexpat1", "libxml2.so.2": "libxml2", "libxslt.so.1": "libxslt1.1", "libexslt.so.0": "libxslt1.1",
    "libcurl.so.4": "libcurl4", "libcurl-gnutls.so.4": "libcurl3-gnutls", "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libkrb5.so.3": "libkrb5-3", "libldap-2.5.so.0": "libldap-2.5-0", "libsasl2.so.2": "libsasl2-2", "libjpeg.so.62": "libjpeg62-turbo",
    "libpng16.so.16": "libpng16-16", "libtiff.so.6": "libtiff6", "libwebp.so.7": "libwebp7", "libopenjp2.so.7": "libopenjp2-7",
    "libgdal.so.32": "libgdal32", "libgeos_c.so.1": "libgeos-c1v5", "libproj.so.25": "libproj25", "libspatialindex.so.6": "libspatialindex6",
    "libspatialindex_c.so.6": "libspatialindex6", "libopenblas.so.0": "libopenblas0", "libblas.so.3": "libblas3",
    "liblapack.so.3": "liblapack3", "libtbb.so.12": "libtbb12", "libnuma.so.1": "libnuma1", "libaio.so.1": "libaio1",
    "libibverbs.so.1": "libibverbs1", "librdmacm.so.1": "librdmacm1", "libmpi.so.40": "libopenmpi3", "libopenslide.so.0": "libopenslide0",
    "libpoppler-cpp.so.0": "libpoppler-cpp0v5", "libtesseract.so.5": "libtesseract5", "libleptonica.so.6": "liblept5", "liblept.so.5": "liblept5",
    "libzbar.so.0": "libzbar0", "libusb-1.0.so.0": "libusb-1.0-0", "libsodium.so.23": "libsodium23", "libzmq.so.5": "libzmq5",
    "libev.so.4": "libev4", "libuv.so.1": "libuv1", "libyaml-0.so.2": "libyaml-0-2", "libcuda.so.1": "",
    "libavcodec.so.59": "libavcodec59", "libavformat.so.59": "libavformat59", "libavutil.so.57": "libavutil57",
    "libswscale.so.6": "libswscale6", "libsox.so.3": "libsox3", "libenchant-2.so.2": "libenchant-2-2", "libgraphviz.so.6": "graphviz",
    "libcgraph.so.6": "libcgraph6", "libgvc.so.6": "libgvc6", "libhdf5_serial.so.103": "libhdf5-103-1", "libnetcdf.so.19": "libnetcdf19",
    "libtcl8.6.so": "libtcl8.6", "libtk8.6.so": "libtk8.6", "libjemalloc.so.2": "libjemalloc2", "libtcmalloc.so.4": "libgoogle-perftools4",
    "libunwind.so.8": "libunwind8", "libcrypt.so.1": "libcrypt1", "libuuid.so.1": "libuuid1", "libtinfo.so.6": "libtinfo6",
    "libncursesw.so.6": "libncursesw6", "libreadline.so.8": "libreadline8", "libedit.so.2": "libedit2", "libgmp.so.10": "libgmp10",
}  # fmt: skip

MODULES = {
    "cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn", "skimage": "scikit-image",
    "bs4": "beautifulsoup4", "dateutil": "python-dateutil", "dotenv": "python-dotenv", "attr": "attrs", "jwt": "pyjwt",
    "OpenSSL": "pyopenssl", "Crypto": "pycryptodome", "serial": "pyserial", "usb": "pyusb", "git": "gitpython", "magic": "python-magic",
    "docx": "python-docx", "pptx": "python-pptx", "fitz": "pymupdf", "MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary",
    "google.protobuf": "protobuf", "grpc": "grpcio", "faiss": "faiss-cpu", "multipart": "python-multipart", "jose": "python-jose",
    "zmq": "pyzmq", "socks": "pysocks", "pkg_resources": "setuptools", "distutils": "setuptools", "Levenshtein": "levenshtein",
    "sentence_transformers": "sentence-transformers", "flash_attn": "flash-attn", "umap": "umap-learn", "lightning_fabric": "lightning",
    "pytorch_lightning": "pytorch-lightning", "imblearn": "imbalanced-learn", "community": "python-louvain", "Xlib": "python-xlib",
}  # fmt: skip

_SONAME = re.compile(
    r"(?P<name>[A-Za-z0-9_+.-]+?)(?:-(?P<release>[0-9][0-9.]*))?\.so(?:\.(?P<version>[0-9][0-9.]*))?"
)


def debian_package(soname: str) -> str:
    """The Debian package that has a library; empty when there is none. By the table, else by the policy's rule."""
    known = LIBRARIES.get(soname)
    if known is not None:
        return known
    match = _SONAME.fullmatch(soname)
    if match is None or not match["name"].startswith("lib"):
        return ""
    name = match["name"].lower().replace("_", "-")
    version = match["release"] or match["version"] or ""
    if match["release"] and match["version"]:
        version = f"{match['release']}-{match['version']}"
    if not version:
        return ""
    # A name that ends in a digit is set off by a hyphen: libfoo2.so.1 is in libfoo2-1.
    return name + (f"-{version}" if name[-1].isdigit() or match["release"] else version)


def is_known(soname: str) -> bool:
    """Whether the table has it, so that the name is not only a guess."""
    return bool(LIBRARIES.get(soname))


def distribution(module: str) -> str:
    """The distribution on PyPI that has a module: by the table, else it has the module's own name."""
    parts = module.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((MODULES[one] for one in prefixes if one in MODULES), parts[0].replace("_", "-"))
