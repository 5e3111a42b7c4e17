"""What `bench/lazy.py` needs: a network of a given speed, containerd with stargz-snapshotter, and a chart."""
