"""What this machine's processor is and can do, as Linux tells it; elsewhere nothing is known."""

import functools
import re


@functools.lru_cache(None)
def _described():
    """The text about all processors."""
    try:
        with open("/proc/cpuinfo") as stream:
            return stream.read()
    except OSError:  # not Linux
        return ""


def name():
    """As "Intel(R) Xeon(R) Processor", or "unknown processor"."""
    match = re.search(r"^model name\s*: (.+)$", _described(), re.M)
    return match.group(1).strip() if match else "unknown processor"


def has_vnni():
    """Whether it adds products of 8-bit integers without saturating (VNNI, AMX)."""
    return bool(re.search(r"vnni", _described()))


def has_amx():
    """Whether it multiplies tiles of bfloat16 (AMX), several times as fast as float32."""
    return "amx_bf16" in _described()


def has_bfloat16():
    """Whether it multiplies bfloat16 at all: by AMX, or by AVX-512, twice as fast as float32."""
    return has_amx() or "avx512_bf16" in _described()
