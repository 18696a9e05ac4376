"""Use of the machine's NVIDIA devices, where there are any; needs the extra ``gpu``."""

from importlib.util import find_spec
from types import ModuleType

METHOD = "; NVIDIA devices of the driver's machine sampled alike through NVML, whoever uses them"


class GpuSampler:
    """Adds up what NVML tells of all devices of this machine, one look after the other."""

    def __init__(self, nvml: ModuleType) -> None:
        """``nvml`` is the module ``pynvml``, initialised."""
        self._nvml = nvml
        count = nvml.nvmlDeviceGetCount()
        self._devices = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
        self._utilisation = 0.0
        self._looks = 0
        self._peak_memory = 0

    def sample(self) -> None:
        """Look once."""
        nvml = self._nvml
        memory = sum(nvml.nvmlDeviceGetMemoryInfo(device).used for device in self._devices)
        rates = [nvml.nvmlDeviceGetUtilizationRates(device).gpu for device in self._devices]
        self._peak_memory = max(self._peak_memory, int(memory))
        self._utilisation += sum(rates) / len(rates) / 100
        self._looks += 1

    def metrics(self) -> dict[str, float]:
        """Return the mean share of time in which a device computed, and the peak of memory."""
        if not self._looks:
            return {}
        return {
            "resources.gpu_utilisation": self._utilisation / self._looks,
            "resources.gpu_peak_memory_bytes": float(self._peak_memory),
        }


def gpu_sampler() -> GpuSampler | None:
    """Return a sampler, or None where there is no device, driver or ``nvidia-ml-py``."""
    if find_spec("pynvml") is None:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        sampler = GpuSampler(pynvml)
    except pynvml.NVMLError:
        return None
    return sampler if sampler._devices else None
