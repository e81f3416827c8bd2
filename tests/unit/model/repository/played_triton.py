"""The embedded Triton's model.py without Triton and without a module: both are played."""

from concurrent.futures import Future
from threading import Event
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

# Within which everything here is done.
SECONDS = 10.0


class FakeRequest:
    """Of a caller who waits, or has given up; also what takes the response."""

    def __init__(self, *windows: int, cancelled: bool = False) -> None:
        self.windows = windows
        self.cancelled = cancelled
        self.response: Future[Any] = Future()

    def get_response_sender(self) -> "FakeRequest":
        return self

    def is_cancelled(self) -> bool:
        return self.cancelled

    def send(self, response: Any, flags: int) -> None:
        assert flags == FakeTriton.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        self.response.set_result(response)

    def outcome(self) -> str | int:
        """The code of its error, or the number of its logits."""
        response = self.response.result(SECONDS)
        return response.error.code if response.error else len(response.tensors[0][0])


class FakeTriton(ModuleType):
    """What the model uses of Triton's module."""

    TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1

    class TritonModelException(Exception):  # noqa: N818
        pass

    class TritonError:
        CANCELLED, INVALID_ARG = "cancelled", "invalid"

        def __init__(self, text: str, code: str) -> None:
            self.code = code

    class InferenceResponse:
        def __init__(self, tensors: Any = (), error: Any = None) -> None:
            self.tensors = tensors
            self.error = error

    @staticmethod
    def Tensor(name: str, values: Any) -> Any:  # noqa: N802
        return values

    @staticmethod
    def get_input_tensor_by_name(request: FakeRequest, name: str) -> Any:
        ids = np.arange(sum(request.windows))
        values = {"input_ids": ids, "token_type_ids": ids % 2, "window_lengths": request.windows}
        return SimpleNamespace(as_numpy=lambda: np.array([values[name]], np.int32))


def logits_of(flat: tuple[npt.NDArray[np.int32], ...]) -> list[npt.NDArray[np.float32]]:
    """A token's logits are its number, and the length of its window beside its type."""
    ids, types, windows = flat
    return [ids.astype(np.float32), (np.repeat(windows, windows) + types).astype(np.float32)]


class Models:
    """Instances of the model without a module, which note what they compute."""

    def __init__(self, backend: dict[str, Any]) -> None:
        self._backend = backend
        self._made: list[Any] = []

    def make(self, threads: int, compute: Any = logits_of) -> Any:
        model = self._backend["TritonPythonModel"]()
        model.start_threads(threads)
        model.pace = self._backend["Pace"](alone=1, together_at_least=40, together=0.6)
        model.computed = []

        def noted(flat: tuple[npt.NDArray[np.int32], ...]) -> list[npt.NDArray[np.float32]]:
            model.computed.append(flat[2].tolist())
            logits: list[npt.NDArray[np.float32]] = compute(flat)
            return logits

        model.compute = noted
        self._made.append(model)
        return model

    def finalize(self) -> None:
        for model in self._made:
            model.finalize()


class Gate:
    """Computes a window of `HELD` tokens when it is told to."""

    HELD = 50

    def __init__(self) -> None:
        self.begun, self.opened = Event(), Event()

    def compute(self, flat: tuple[npt.NDArray[np.int32], ...]) -> list[npt.NDArray[np.float32]]:
        if self.HELD in flat[2]:
            self.begun.set()
            assert self.opened.wait(SECONDS)
        return logits_of(flat)
