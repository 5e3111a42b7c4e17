from setuptools import setup
import pkg_resources

assert pkg_resources.packaging
setup(name="oldpackage", version="1.0", py_modules=["oldpackage"])
