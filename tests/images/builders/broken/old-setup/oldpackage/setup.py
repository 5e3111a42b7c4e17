# ruff: noqa: I001 - an old project, as it is
from setuptools import setup
from distutils.msvccompiler import get_build_version

setup(name="oldpackage", version="1.0", py_modules=["oldpackage"], description=str(get_build_version()))
