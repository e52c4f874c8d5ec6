"""Read TorchScript archives (``.pt``): tensors from their pickle, the rest from their text.

`torch.jit.load` would run what a stranger wrote. Here the pickle is only read, the text only
followed: see `rl_ablation.policies.exports.source`.
"""

from __future__ import annotations

from rl_ablation.errors import LabError
from rl_ablation.policies.exports.program import Program, Row, check_states, renewed
from rl_ablation.policies.exports.source import Source
from rl_ablation.policies.exports.tensors import Torch
from rl_ablation.policies.sb3.pickles import Call, attributes
from rl_ablation.policies.sb3.tensors import CALLS, TorchFile, is_tensor, tensor_at

MAX_TRIED = 12
"""Lengths of observations that are tried: the archive does not say which it takes."""
_JIT = {f"torch.jit._pickle.{name}" for name in (
    "restore_type_tag", "build_tensorlist", "build_intlist", "build_boollist", "build_doublelist",
)}  # fmt: skip


def is_torchscript(names: list[str]) -> bool:
    """Whether a zip of these members is a TorchScript archive."""
    return any("/code/__torch__" in name or name.endswith("/constants.pkl") for name in names)


def may_call(dotted: str) -> bool:
    """Whether an archive's pickle may ask for a call: of its own classes, or for tensors."""
    return dotted.startswith("__torch__.") or dotted in CALLS or dotted in _JIT


def read_torchscript(content: bytes, obs_size: int | None) -> tuple[Program, Row]:
    """The steps of an archive, and the action among what they make.

    Args:
        content: The archive's bytes.
        obs_size: Length of the environment's observations; None tries those of its weights.

    Raises:
        LabError: Damaged, or its text is none that is known here.
    """
    file = TorchFile(content, may_call)
    if not isinstance(file.tree, Call) or not file.tree.dotted.startswith("__torch__."):
        raise LabError("holds no module of TorchScript")
    found, first = [], None
    sizes = _sizes(file.tree)
    for size in dict.fromkeys(sizes if obs_size is None else [obs_size, *sizes]):
        try:
            found.append((size, _followed(file, file.tree, size)))
        except LabError as error:
            first = first or error
        else:
            if size == obs_size:
                break
    if not found:
        raise first or LabError("has no weights")
    if len(found) > 1:
        told = ", ".join(str(size) for size, _ in found)
        raise LabError(f"takes observations of several lengths ({told}); give its environment")
    return found[0][1]


def _followed(file: TorchFile, module: Call, size: int) -> tuple[Program, Row]:
    program = Program()
    torch = Torch(program)
    source = Source(file, torch)
    action = source.call(source.method(module, "forward"), [program.obs((1, size))], {})
    if isinstance(action, tuple) and len(action) == 1:
        (action,) = action
    if not isinstance(action, Row):
        raise LabError("its forward gives no single value; which one is the action?")
    lost = [key for key in torch.written if key not in torch.states]
    if lost:
        raise LabError("its source writes to something that is no state of a memory")
    check_states(list(torch.states.values()), [torch.written[k] for k in torch.written])
    for key, state in torch.states.items():
        marks = torch.written[key].marks if key in torch.written else None
        if marks is None or state.marks is None or (marks != renewed(state.marks)).any():
            raise LabError("does not keep the states of its memory in their places")
    return program, torch.row(action)


def _sizes(module: Call) -> list[int]:
    """Lengths of observations that some weights take, in the order of the archive."""
    found: list[int] = []
    left = [module]
    for node in left:  # grows on the way
        for name, part in attributes(node).items():
            if is_tensor(part):
                shape = tensor_at(part, str(name)[:40]).size if _is_float(part) else ()
                if len(shape) == 2 and 0 < shape[1] not in found:
                    found.append(shape[1])
            elif isinstance(part, Call) and part not in left:
                left.append(part)
        if len(left) > 1_000:
            raise LabError("has more than 1,000 modules")
    return found[:MAX_TRIED]


def _is_float(node: object) -> bool:
    try:
        tensor_at(node, "")
    except LabError:
        return False
    return True
