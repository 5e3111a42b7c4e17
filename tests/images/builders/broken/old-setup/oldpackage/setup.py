import pkg_resources
from setuptools import setup

assert pkg_resources.packaging
setup(name="oldpackage", version="1.0", py_modules=["oldpackage"])
