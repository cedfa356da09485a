"""What a processor is called and can do, read from Linux's description of it."""

from util import processors

import pytest

SAPPHIRE = "processor\t: 0\nmodel name\t: Xeon 8488C \nflags\t\t: fpu avx512_vnni amx_bf16\n"
ZEN = "processor\t: 0\nmodel name\t: EPYC \nflags\t\t: fpu avx512_bf16 avx512_vnni\n"
HASWELL = "processor\t: 0\nmodel name\t: Xeon E5\nflags\t\t: fpu avx2\n"


@pytest.mark.parametrize("described, found", [
    (SAPPHIRE, ("Xeon 8488C", True, True, True)), (ZEN, ("EPYC", True, False, True)),
    (HASWELL, ("Xeon E5", False, False, False)), ("", ("unknown processor", False, False, False))])
def test_described(described, found, monkeypatch):
    monkeypatch.setattr(processors, "_described", lambda: described)
    assert (processors.name(), processors.has_vnni(), processors.has_amx(),
            processors.has_bfloat16()) == found
