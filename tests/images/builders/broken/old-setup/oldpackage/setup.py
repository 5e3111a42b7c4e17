from setuptools import setup
from setuptools.command.test import test

setup(name="oldpackage", version="1.0", py_modules=["oldpackage"], cmdclass={"test": test})
