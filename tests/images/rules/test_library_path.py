"""Libraries of CUDA that LD_LIBRARY_PATH puts before the right ones."""

from __future__ import annotations

import pytest

from support.image_checks import applied, findings
from support.image_fixes import all_help, alternatives, texts

DEVEL = "FROM nvidia/cuda:12.1.1-devel-ubuntu22.04\n"
TORCH = "RUN pip install torch==2.5.1\n"


class TestOlderLibraries:
    RULE = "image/library-path"

    @pytest.mark.parametrize(
        ("written", "column", "left"),
        [
            (
                "ENV LD_LIBRARY_PATH=/usr/local/cuda/lib64:$LD_LIBRARY_PATH\n",
                21,
                "ENV LD_LIBRARY_PATH=$LD_LIBRARY_PATH\n",
            ),
            (
                'ENV A=1 LD_LIBRARY_PATH="/opt/x:/usr/local/cuda-12.1/lib64"\n',
                33,
                'ENV A=1 LD_LIBRARY_PATH="/opt/x"\n',
            ),
            (
                "ENV LD_LIBRARY_PATH /usr/local/cuda-12/targets/x86_64-linux/lib/\n",
                21,
                "",
            ),
            (
                "ENV LD_LIBRARY_PATH=/a:${CUDA_HOME}/lib64:${LD_LIBRARY_PATH:-/b:/c}\n",
                24,
                "ENV LD_LIBRARY_PATH=/a:${LD_LIBRARY_PATH:-/b:/c}\n",
            ),
        ],
    )
    def test_an_older_cuda_of_the_base_is_an_error(self, written: str, column: int, left: str) -> None:
        files = {"Dockerfile": f"{DEVEL}ENV CUDA_HOME=/usr/local/cuda\n{written}{TORCH}"}
        (found,) = findings(files, self.RULE)

        assert (found.severity, found.line, found.column) == ("error", 3, column)
        assert "nvJitLink" in found.cause
        after = texts(files, found)
        assert after[0] == f"{DEVEL}ENV CUDA_HOME=/usr/local/cuda\n{left}{TORCH}"
        assert after[1] == files["Dockerfile"].replace("12.1.1", "12.4.1")
        assert after[2] == files["Dockerfile"].replace("torch==2.5.1", "torch==2.6.0")
        # A folder by its number is not in another base.
        assert not findings(applied(files, alternatives(found)[0]), self.RULE)

    def test_every_alternative_helps(self) -> None:
        files = {"Dockerfile": f"{DEVEL}ENV LD_LIBRARY_PATH=/usr/local/cuda/lib64\n{TORCH}"}
        (found,) = findings(files, self.RULE)

        assert len(alternatives(found)) == 3
        assert all_help(files, found)

    @pytest.mark.parametrize(
        ("base", "path", "torch"),
        [
            ("nvidia/cuda:12.4.1-devel-ubuntu22.04", "/usr/local/cuda/lib64", "torch==2.5.1"),
            ("nvidia/cuda:12.1.1-devel-ubuntu22.04", "/usr/local/cuda/lib64", "torch==2.6.0"),
            ("nvidia/cuda:12.1.1-devel-ubuntu22.04", "/usr/local/cuda/lib64", "torch==2.4.1"),
            ("nvidia/cuda:12.1.1-base-ubuntu22.04", "/usr/local/cuda/lib64", "torch==2.5.1"),
            ("nvidia/cuda:11.8.0-runtime-ubuntu22.04", "/usr/local/cuda/lib64", "torch==2.5.1"),
            ("nvidia/cuda:12.1.1-devel-ubuntu22.04", "/usr/local/cuda-11.8/lib64", "torch==2.5.1"),
            ("nvidia/cuda:12.1.1-devel-ubuntu22.04", "/usr/local/cuda/lib64/stubs", "torch==2.5.1"),
            ("nvidia/cuda:12.1.1-devel-ubuntu22.04", "/usr/local/nvidia/lib64", "torch==2.5.1"),
            (
                "nvidia/cuda:12.1.1-devel-ubuntu22.04",
                "/usr/lib/python3/dist-packages/nvidia/nvjitlink/lib:/usr/local/cuda/lib64",
                "torch==2.5.1",
            ),
            ("nvidia/cuda:12.1.1-devel-ubuntu22.04", "/usr/local/cuda/lib64", "numpy"),
            ("example.com/base:1", "/usr/local/cuda/lib64", "torch==2.5.1"),
            ("python:3.11-slim", "/opt/conda/lib", "torch==2.5.1"),
        ],
    )
    def test_near_misses(self, base: str, path: str, torch: str) -> None:
        text = f"FROM {base}\nENV LD_LIBRARY_PATH={path}\nRUN pip install {torch}\n"

        assert not findings({"Dockerfile": text}, self.RULE)

    def test_a_later_setting_repairs_it(self) -> None:
        text = f"{DEVEL}ENV LD_LIBRARY_PATH=/usr/local/cuda/lib64\n{TORCH}ENV LD_LIBRARY_PATH=/opt/lib\n"

        assert not findings({"Dockerfile": text}, self.RULE)

    def test_conda_s_folder_is_a_warning_in_a_base_that_is_not_known(self) -> None:
        text = f"ARG BASE\nFROM $BASE\nENV LD_LIBRARY_PATH=/opt/conda/lib\n{TORCH}"
        (found,) = findings({"Dockerfile": text}, self.RULE)

        assert found.severity == "warning"

    def test_where_most_releases_that_may_come_fail_it_is_a_warning(self) -> None:
        text = (
            "FROM nvidia/cuda:12.3.1-devel-ubuntu22.04\nENV LD_LIBRARY_PATH=/usr/local/cuda/lib64\n"
            "RUN pip install 'torch>=2.5' --index-url https://download.pytorch.org/whl/cu124\n"
        )
        (found,) = findings({"Dockerfile": text}, self.RULE)

        assert found.severity == "warning"


class TestCompat:
    RULE = "image/cuda-compat"

    @pytest.mark.parametrize("folder", ["/usr/local/cuda/compat", "/usr/local/cuda-12.1/compat/lib"])
    def test_driver_libraries_of_the_image_are_a_warning(self, folder: str) -> None:
        files = {"Dockerfile": f"ARG TAG\nFROM nvidia/cuda:$TAG\nENV LD_LIBRARY_PATH=/a:{folder}:/b\n"}
        (found,) = findings(files, self.RULE)

        assert (found.severity, found.line, found.column) == ("warning", 3, 24)
        assert texts(files, found) == ["ARG TAG\nFROM nvidia/cuda:$TAG\nENV LD_LIBRARY_PATH=/a:/b\n"]

    @pytest.mark.parametrize(
        "text",
        [
            f"{DEVEL}RUN apt-get purge -y 'cuda-compat-*'\nENV LD_LIBRARY_PATH=/usr/local/cuda/compat\n",
            f"{DEVEL}ENV LD_LIBRARY_PATH=/usr/local/cuda/lib64\n",
            f"{DEVEL}ENV PATH=/usr/local/cuda/compat:$PATH\n",
        ],
    )
    def test_near_misses(self, text: str) -> None:
        assert not findings({"Dockerfile": text}, self.RULE)
