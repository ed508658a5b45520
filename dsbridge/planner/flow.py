"""One layer of a decoder as torch runs it, on a tape: attention, the MLP or the experts, and their norms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dsbridge.planner.expert_flow import experts
from dsbridge.planner.liger import NOTHING, Replaced
from dsbridge.planner.modules import Module
from dsbridge.planner.norms import Trained, normed, plain_norm
from dsbridge.planner.shape import ModelShape
from dsbridge.planner.styles import (
    GELU_NEW,
    JOINED,
    NOWHERE,
    PLAIN,
    RELU,
    SQUARED,
    Style,
    style,
)
from dsbridge.planner.tape import Tape, Tensor

# transformers: from here SDPA shares keys and values among heads instead of repeating them, and leaves
# queries where they are (integrations/sdpa_attention.py: `use_gqa_in_sdpa`; `query.contiguous()` gone)
SHARES_HEADS, LEAVES_QUERIES = (4, 54), (4, 56)


class Setting(NamedTuple):
    """How a model is run. itemsize: of activations; adapter: of LoRA's weights. flash: no matrix of scores is
    kept; sdpa: torch's own kernel rather than flash-attn's, which makes copies in older transformers.
    ulysses: heads are exchanged for tokens around attention. masked: sdpa gets a mask, so it repeats keys and
    values, and each layer keeps a copy of the mask. wrapped: stage 3 replaced torch's linear, and a frozen
    one keeps its input too. sequence: tokens that attention goes over. kernels: of Liger, in place of the
    model's. mask: bytes of an element of the mask of LoRA's dropout; 0: it has none."""

    itemsize: int = 2
    adapter: int = 2
    flash: bool = True
    sdpa: bool = True
    ulysses: int = 1
    masked: bool = False
    wrapped: bool = False
    sequence: int = 0
    release: tuple[int, ...] = (99,)
    kernels: Replaced = NOTHING
    mask: int = 0


class Layer:
    """A layer on a tape. widths: elements of each matrix on this rank, by module: in, out."""

    def __init__(
        self,
        shape: ModelShape,
        modules: tuple[Module, ...],
        trained: Mapping[str, Trained],
        widths: Mapping[str, tuple[int, int]],
        setting: Setting,
    ) -> None:
        self.shape, self.trained, self.widths, self.setting = shape, trained, widths, setting
        self.modules = {module.name: module for module in modules}
        self.short = {module.name.rpartition(".")[2]: module for module in modules}
        self.style: Style = style(shape.model_type, setting.release)
        self.tape = Tape()
        self.size = setting.itemsize
        self.dropped: Tensor | None = None  # what the last adapter with dropout was given

    def run(self, grad: bool) -> tuple[Tape, Tensor]:
        """The whole layer; grad: what comes in needs a gradient."""
        x = self.tape.start(self.shape.hidden, self.size, grad)
        way = self.style
        self.tape.constant += way.tables * self.shape.head_dim * self.setting.sequence
        normed = self.norm(way.before_attention, x)
        context = self.norm(way.after_attention, self.attention(normed))
        if way.parallel:
            second = self.norm(way.before_mlp, x) if way.before_mlp in self.short else normed
            return self.tape, self.tape.add(self.tape.add(self.mlp(second), context), x)
        x = self.tape.add(x, context)
        out = self.norm(way.after_mlp, self.mlp(self.norm(way.before_mlp, x)))
        return self.tape, self.tape.add(x, out)

    def alive(self, last: Tensor) -> float:
        """Bytes of a token alive at most while the layer runs again and goes back, kept ones with them.

        With dropout that is as the last adapter runs: nobody saves what it was given, and beside it there are
        its map's result, what the MLP was given, the residual, and the gradient that waits (recorded:
        tests/recorded/planner/activations, `dropout checkpointing`).
        """
        back = self.tape.backward(last)
        if self.dropped is None:
            return back
        beside = (4 if self.style.parallel else 5) * self.shape.hidden * self.size
        return max(back, self.tape.bytes() + self.dropped.bytes + beside)

    def of(self, module: Module) -> Trained:
        """What of a module is trained."""
        return self.trained.get(module.name, Trained(False, False))

    def norm(self, name: str, x: Tensor, heads: int = 1) -> Tensor:
        """A norm over the last dimension, which is `heads` times in x; nothing where the layer has none."""
        module = self.short.get(name)
        if module is None:
            return plain_norm(self.tape, x) if self.style.norm == PLAIN and name.endswith("layernorm") else x
        kernels = self.setting.kernels
        if not kernels.of_heads and any(name in names for names in QK_NORMS.values()):
            kernels = NOTHING
        return normed(self.tape, x, module.kind, self.style.norm, self.of(module), heads, kernels)

    def linear(self, module: Module, x: Tensor) -> Tensor:
        """A linear map and its adapter."""
        tape, is_trained, out = self.tape, self.of(module), self.widths[module.name][1]
        saves = (x,) if is_trained.weight or self.setting.wrapped else ()
        y = tape.op((x,), out, x.itemsize, saves, trains=is_trained.weight or is_trained.bias)
        if not is_trained.rank:
            return y
        own = tape.cast(x, self.setting.adapter)
        if self.setting.mask:
            self.dropped = x
            mask = tape.start(own.elements, self.setting.mask, False)
            own = tape.op((own,), own.elements, own.itemsize, (mask,))
        small = tape.op((own,), is_trained.rank, self.setting.adapter, (own,), trains=True)
        large = tape.op((small,), out, self.setting.adapter, (small,), trains=True)
        scaled = tape.op((large,), out, self.setting.adapter)
        return tape.cast(tape.add(y, scaled), y.itemsize)

    def attention(self, x: Tensor) -> Tensor:
        """Projections, positions, the kernel, and the way out."""
        found = {module.name.rpartition(".")[2]: module for module in self._attention()}
        out = next((found[name] for name in ("o_proj", "dense", "out_proj", "c_proj") if name in found), None)
        if "kv_b_proj" in found:
            q, k, v = self._latent(found, x)
        elif fused := next((m for n, m in found.items() if n in FUSED), None):
            q, k, v = self._fused(fused, x)
        elif "q_proj" in found:
            q, k, v = (self.linear(found[name], x) for name in ("q_proj", "k_proj", "v_proj"))
            if self.gated_context():
                gate, q = self.tape.view(q, q.elements / 2), self.tape.view(q, q.elements / 2)
            q, k = self._positioned(q, "q"), self._positioned(k, "k")
        else:
            return self._other_mixer(found, x)
        context = self._kernel(q, k, v)
        if self.gated_context():
            share = self.tape.op((gate,), gate.elements, gate.itemsize)
            if share.grad:
                self.tape.keep(share, share)
            context = self.tape.op((context, share), share.elements, share.itemsize, (context, share))
        return context if out is None else self.linear(out, context)

    def gated_context(self) -> bool:
        """Whether the projection of queries makes a gate for the context too (Qwen 3.5, Qwen 3 Next)."""
        module = self.short.get("q_proj")
        whole = self.shape.heads * self.shape.head_dim
        return module is not None and module.matrix is not None and module.matrix[1] == 2 * whole

    def _attention(self) -> list[Module]:
        kinds = ("attention", "attention_norm")
        return [m for m in self.modules.values() if m.part in kinds and not m.name.endswith("gate_proj")]

    def _positioned(self, x: Tensor, which: str) -> Tensor:
        """Normalised where the model does, then rotated: the table of angles is shared, nothing else is
        kept."""
        name = next((n for n in QK_NORMS[which] if n in self.short), "")
        if name:
            module = self.short[name]
            one = dict(module.weights)["weight"][-1] * module.copies
            x = self.norm(name, x, max(1, round(x.elements / one)))
        if self.style.positions == NOWHERE:
            return x
        if self.setting.kernels.positions:  # written over their input, and back
            return self.tape.view(self.own(x), x.elements)
        return self.tape.op((x,), x.elements, x.itemsize, scratch=x.bytes)

    def _fused(self, module: Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One projection for queries, keys and values: values stay a view of it."""
        whole, tape = self.linear(module, x), self.tape
        kv = self.shape.kv_heads / (self.shape.heads + 2 * self.shape.kv_heads) * whole.elements
        q, k, v = (tape.view(whole, part) for part in (whole.elements - 2 * kv, kv, kv))
        return self._positioned(q, "q"), self._positioned(k, "k"), v

    def _latent(self, found: Mapping[str, Module], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Multi-head latent attention: keys are put together from two parts, values are a view."""
        tape, latent = self.tape, self.shape.latent
        assert latent is not None
        if "q_proj" in found:
            q = self.linear(found["q_proj"], x)
        else:
            q = self.linear(found["q_b_proj"], self.norm("q_a_layernorm", self.linear(found["q_a_proj"], x)))
        both = self.linear(found["kv_a_proj_with_mqa"], x)
        low = self.norm("kv_a_layernorm", tape.view(both, latent.kv_rank))
        turned = tape.view(both, latent.rope_head_dim)
        wide = self.linear(found["kv_b_proj"], low)
        values = wide.elements * latent.v_head_dim / (latent.nope_head_dim + latent.v_head_dim)
        q = tape.op((q,), q.elements, q.itemsize)
        k = tape.op((tape.view(wide, wide.elements - values), turned), q.elements, q.itemsize)
        return q, k, tape.view(wide, values)

    def _other_mixer(self, found: Mapping[str, Module], x: Tensor) -> Tensor:
        """Linear attention (gated delta rule): its projections, and what the fused kernel keeps of them."""
        tape, out = self.tape, found["out_proj"]
        into = [m for m in found.values() if m.matrix and m is not out]
        parts = [self.linear(module, x) for module in into]
        wide = [one for one in parts if one.elements >= out.size / self.shape.hidden / 2]
        mixed = tape.op(wide, self.widths[out.name][0], self.size, wide)  # the convolution keeps its input
        mixed = tape.op((mixed,), mixed.elements, self.size, (mixed,))
        gated = tape.op((mixed,), mixed.elements, 4, (tape.cast(mixed, 4),))
        return self.linear(out, tape.cast(gated, self.size))

    def _kernel(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        tape, how = self.tape, self.setting
        heads = q.elements / self._head()
        old = how.sdpa and how.release < LEAVES_QUERIES
        if how.ulysses > 1:  # each is sent; where there are fewer heads of keys than ranks, they are repeated
            times = max(1.0, how.ulysses / self.shape.kv_heads)
            q = tape.op((q,), q.elements, q.itemsize)
            k, v = (tape.op((one,), times * one.elements, one.itemsize) for one in (k, v))
        if not how.flash:
            return self._scores(q, k, v, heads)
        width = v.elements / k.elements * q.elements
        repeats = how.sdpa and (how.release < SHARES_HEADS or how.masked)
        if old or (repeats and k.elements != q.elements):
            wide = (q.elements, width) if repeats else (k.elements, v.elements)
            k, v = (tape.op((one,), size, one.itemsize) for one, size in zip((k, v), wide, strict=True))
        old = old and not self.style.leaves
        joined = self.style.positions == JOINED and not how.kernels.positions
        if old and not joined:
            q = tape.op((q,), q.elements, q.itemsize)
        out = tape.op((q, k, v), width, q.itemsize, (q, k, v))
        if out.grad:
            tape.keep(out, out)
            tape.keep(tape.start(heads, 4, False), out)  # the logarithms of the sums of exponentials
            own_mask = how.release >= SHARES_HEADS or self.style.masks
            if how.masked and how.sdpa and own_mask:
                tape.keep(tape.start(how.sequence, q.itemsize, False), out)
        copied = how.ulysses > 1 or old or joined
        return tape.op((out,), width, q.itemsize) if copied else tape.view(out, width)

    def _head(self) -> int:
        latent = self.shape.latent
        return latent.nope_head_dim + latent.rope_head_dim if latent else self.shape.head_dim

    def _scores(self, q: Tensor, k: Tensor, v: Tensor, heads: float) -> Tensor:
        """Attention that keeps its matrix, after the softmax in fp32 and cast again."""
        tape, size = self.tape, q.itemsize
        width, entries = v.elements / k.elements * q.elements, heads * self.setting.sequence
        q, k = (tape.op((one,), q.elements, size) for one in (q, k))
        v = tape.op((v,), width, size)
        scores = tape.op((tape.op((q, k), entries, size, (q, k)),), entries, size)
        if self.style.capped:
            scores = tape.op((scores,), entries, size)
            tape.keep(scores, scores)
        soft = tape.op((scores,), entries, 4 if self.style.fp32_scores else size)
        if soft.grad:
            tape.keep(soft, soft)
        soft = tape.cast(soft, size)
        out = tape.op((soft, v), width, size, (soft, v))
        return tape.op((out,), width, size)

    def mlp(self, x: Tensor) -> Tensor:
        """A dense MLP, or experts with what is shared beside them."""
        if any(module.part == "experts" for module in self.modules.values()):
            return experts(self, x)
        return self.dense([m for m in self.modules.values() if m.part == "mlp"], x)

    def dense(self, modules: list[Module], x: Tensor) -> Tensor:
        """Gated, fused and gated, or plain."""
        found = {module.name.rpartition(".")[2]: module for module in modules}
        if "gate_proj" in found:
            gate, up = self.linear(found["gate_proj"], x), self.linear(found["up_proj"], x)
            return self.linear(found["down_proj"], self.gated(gate, up))
        if "gate_up_proj" in found:
            whole = self.linear(found["gate_up_proj"], x)
            half = whole.elements / 2
            gated = self.gated(self.tape.view(whole, half), self.tape.view(whole, half))
            return self.linear(found["down_proj"], gated)
        first, last = [m for m in modules if m.matrix][:2]
        return self.linear(last, self.activated(self.linear(first, x)))

    def gated(self, gate: Tensor, up: Tensor) -> Tensor:
        """The product of the activated gate and the other half."""
        tape = self.tape
        if self.setting.kernels.gated:  # saves both, and writes their gradients over them
            gate, up = (self.own(one) for one in (gate, up))
            return tape.op((gate, up), up.elements, up.itemsize, (gate, up), over=True)
        active = tape.op((gate,), gate.elements, gate.itemsize, (gate,))
        return tape.op((active, up), up.elements, up.itemsize, (active, up))

    def own(self, x: Tensor) -> Tensor:
        """The tensor, or a copy where it is a part of another: Liger's kernels take what is contiguous."""
        return x if x.held == x.bytes else self.tape.op((x,), x.elements, x.itemsize)

    def activated(self, x: Tensor) -> Tensor:
        """An activation without a gate."""
        tape, act = self.tape, self.style.act
        if act == GELU_NEW:  # written out: 0.5 x (1 + tanh(c (x + 0.044715 x^3)))
            half = tape.op((x,), x.elements, x.itemsize)
            inner = tape.add(x, tape.op((x,), x.elements, x.itemsize, (x,), scratch=x.bytes))
            tanh = tape.op((inner,), x.elements, x.itemsize)
            if tanh.grad:
                tape.keep(tanh, tanh)
            one = tape.op((tanh,), x.elements, x.itemsize)
            return tape.op((half, one), x.elements, x.itemsize, (half, one))
        if act in (RELU, SQUARED):
            y = tape.op((x,), x.elements, x.itemsize)
            if y.grad:
                tape.keep(y, y)
            return tape.op((y,), y.elements, y.itemsize, (y,)) if act == SQUARED else y
        return tape.op((x,), x.elements, x.itemsize, (x,))


FUSED = ("qkv_proj", "query_key_value", "c_attn", "Wqkv")
QK_NORMS = {
    "q": ("q_norm", "q_layernorm", "query_layernorm", "{}"),
    "k": ("k_norm", "k_layernorm", "key_layernorm", "{}"),
}
