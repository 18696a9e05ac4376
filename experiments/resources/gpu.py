"""Use of the machine's NVIDIA devices, if there are any; needs the extra ``gpu``."""

from importlib.util import find_spec
from types import ModuleType

METHOD = (
    "; NVIDIA devices of the driver's machine sampled at the same interval through NVML, "
    "including use by other processes"
)


class GpuSampler:
    """Samples memory and utilization of all devices of this machine through NVML.

    Parameters
    ----------
    nvml
        The module ``pynvml``, initialized.
    """

    def __init__(self, nvml: ModuleType) -> None:
        self._nvml = nvml
        count = nvml.nvmlDeviceGetCount()
        self._devices = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
        self._utilisation = 0.0
        self._samples = 0
        self._peak_memory = 0

    def sample(self) -> None:
        """Take one sample."""
        nvml = self._nvml
        memory = sum(nvml.nvmlDeviceGetMemoryInfo(device).used for device in self._devices)
        rates = [nvml.nvmlDeviceGetUtilizationRates(device).gpu for device in self._devices]
        self._peak_memory = max(self._peak_memory, int(memory))
        self._utilisation += sum(rates) / len(rates) / 100
        self._samples += 1

    def metrics(self) -> dict[str, float]:
        """Return the mean utilization of the devices (0 to 1) and the peak memory in bytes."""
        if not self._samples:
            return {}
        return {
            "resources.gpu_utilisation": self._utilisation / self._samples,
            "resources.gpu_peak_memory_bytes": float(self._peak_memory),
        }


def gpu_sampler() -> GpuSampler | None:
    """Return a sampler, or None if there is no device, driver or ``nvidia-ml-py``."""
    if find_spec("pynvml") is None:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        sampler = GpuSampler(pynvml)
    except pynvml.NVMLError:
        return None
    return sampler if sampler._devices else None
