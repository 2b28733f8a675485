"""The nn.Module that joins the components: example -> code -> reconstruction -> loss.

It is independent of corruption, devices, epochs and logging: training calls ``model(Batch(corrupted, target), generator)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from isthmus.architectures.base import Architecture, Pair, StartExamples
from isthmus.bottlenecks.base import Bottleneck, Code
from isthmus.errors import RecordError
from isthmus.kernel_pass import KernelPass
from isthmus.likelihoods import Likelihood
from isthmus.nn.dense_stack import StackPass, is_heard, trains_natively
from isthmus.nn.device import autocast_to
from isthmus.nn.module_rng import draw_from
from isthmus.nn.processes import gathered, own_rows, own_weights
from isthmus.nn.variables import Variables, VariablesWith, weighing
from isthmus.penalties import NoPenalty, Pass, Penalty, Shapes
from isthmus.scaling import Affine, Curves, Extent, NoScaling, Scaling
from isthmus.schedules import Constant
from isthmus.trainable import Batch, Losses
from isthmus.units import InUnits

__all__ = ["Model", "check_gradients"]

CONSTANT, NO_PENALTY, NO_SCALING = Constant(), NoPenalty(), NoScaling()
_IMPUTATIONS = 2  # rounds of imputation after the first fill; other numbers would change what a model file means


class Model(InUnits):
    """An autoencoder: encoder, bottleneck, decoder, likelihood, and the map between raw and model units.

    Args:
        shape: the shape of one example, in raw units.
        architecture, bottleneck, likelihood: the components.
        affine: the map from raw to model units; examples are scaled, and reconstructions returned, in its dtype.
        generator: draws the initial weights; the global generators are not changed.
        dtype: the dtype of the weights, and of all values in model units.
        fill: the initial replacement of missing values, (*self.shape), in model units. With it NaN means a missing value, in examples and
            targets; without it there must be no NaN.
        penalty: what else the loss requires in training.
        context: the number of context features that penalties see, None without.
        extent: the range of the training examples, in raw units and the dtype of ``affine``. A feature that was constant is
            reconstructed as this constant. None: unknown, as in old files.
        scaling: the record that fitted ``affine``: it says which features become blocks of values.
        curves: the map from raw to model units where it is not ``affine``.
    """

    anchors_started: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        architecture: Architecture,
        bottleneck: Bottleneck,
        likelihood: Likelihood,
        affine: Affine,
        generator: Generator,
        dtype: torch.dtype = torch.float32,
        fill: NDArray[Any] | None = None,
        extent: Extent | None = None,
        penalty: Penalty = NO_PENALTY,
        context: int | None = None,
        scaling: Scaling = NO_SCALING,
        curves: Curves | None = None,
    ) -> None:
        super().__init__(shape, affine, dtype, fill, extent, scaling, curves)
        check_gradients(bottleneck, penalty)
        self.bottleneck, self.penalty, self.architecture = bottleneck, penalty, architecture
        self.use_likelihood(likelihood)
        self.encoder, self.decoder = self._build(generator)
        self.code_memory = bottleneck.variables(generator)
        self.likelihood_memory = likelihood.variables(self.shape)
        self.context = architecture.context if isinstance(architecture.context, int) else context
        self.penalty_memory = self._penalty_variables(penalty, generator)
        self.anchors = _pseudo_inputs(bottleneck.anchors, self.shape, generator) if bottleneck.anchors else None
        for part in self.children():
            part.to(dtype)
        if self.anchors is not None:
            self.anchors.data = self.anchors.data.to(dtype)
            self.register_buffer("anchors_started", torch.zeros((), dtype=torch.bool))

    @property
    def stochastic(self) -> bool:
        penalties = any(term.stochastic for term in self.penalty.terms)
        return self.bottleneck.stochastic or self.architecture.stochastic or penalties

    def factors(self, progress: float) -> tuple[float, ...] | None:
        schedules = (self.bottleneck.schedule, *(term.schedule for term in self.penalty.terms))
        if all(schedule == CONSTANT for schedule in schedules):
            return None
        return tuple(schedule(progress) for schedule in schedules)

    @property
    def has_prior(self) -> bool:
        """Whether codes can be sampled: from the prior of the bottleneck, or from N(0, 1) where a penalty makes codes follow it."""
        continuous = not (self.bottleneck.discrete or self.bottleneck.sparse)
        return self.bottleneck.has_prior or (continuous and self.penalty.normal_codes)

    @property
    def cuda_graph_safe(self) -> bool:
        return not self.architecture.stochastic

    @property
    def divisible(self) -> bool:
        return not self.architecture.user_defined

    @property
    def thread_invariant(self) -> bool:
        plain = self.device.type == "cpu" and not self.penalty.terms and self.bottleneck.thread_invariant
        plain = plain and self.likelihood.thread_invariant(self.fill is not None)
        return plain and trains_natively(self.encoder) and trains_natively(self.decoder)

    def kernel_pass(self, rows: int) -> KernelPass | None:
        held = (self.code_memory, self.likelihood_memory)
        plain = not (is_heard(self) or self.penalty.terms or self.context or self.bottleneck.draws > 1)
        plain = plain and self.anchors is None and not any(True for each in held for _ in each.parameters())
        encoder = StackPass.of(self.encoder, rows, needs_x=False) if plain else None
        decoder = StackPass.of(self.decoder, rows, needs_x=True) if encoder is not None else None
        if encoder is None or decoder is None:
            return None
        added = self.log_jacobian if self.likelihood.density else None
        parts = (self.bottleneck, self.likelihood, held, added)
        return KernelPass(encoder.kernels, encoder, decoder, *parts, incomplete=self.fill is not None)

    def net_parameters(self) -> Iterator[nn.Parameter]:
        for part in (self.encoder, self.decoder, self.likelihood_memory):
            yield from part.parameters()

    def decode_raw(self, z: Float[Tensor, "b *code"], context: Tensor | None = None) -> Float[Tensor, "b *x"]:
        """The reconstructions of codes, in raw units. Features that were constant in training keep their value."""
        return self._with_constants(self.denormalize(self.decode(z, context)))

    def reconstruct_raw(self, raw: Tensor, context: Tensor | None = None) -> Float[Tensor, "b *x"]:
        """The reconstructions of examples, both in raw units. Features that were constant in training keep their value."""
        x = self.normalize(raw)
        return self._with_constants(self.denormalize(self.reconstruction(self.encode(x, context), x, context)))

    def _with_constants(self, raw: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        """Raw examples with the value of each feature that was constant in training."""
        if not self.has_constants:
            return raw
        assert self.least is not None
        assert self.largest is not None
        return torch.where(self.least == self.largest, self.least, raw)

    def draw_raw(
        self, z: Float[Tensor, "b *code"], generator: Generator, context: Tensor | None = None
    ) -> Float[Tensor, "b *x"]:
        """Examples drawn from the likelihood of codes, in raw units. Features that were constant in training keep their value."""
        drawn = self.likelihood.draw(self._output(z, None, context), self.likelihood_memory, generator)
        return self._with_constants(self.denormalize(drawn))

    def impute(
        self, x: Float[Tensor, "b *x"], autocast: torch.dtype | None = None, context: Tensor | None = None
    ) -> Float[Tensor, "b *x"]:
        """Examples with imputed missing values: first the fill, then in each round the model's own reconstruction.

        Training runs through all rounds, so that each round improves the input of the next.
        """
        if self.fill is None:
            return x
        missing = x.isnan()
        imputed = torch.where(missing, self.fill, x)
        for _ in range(_IMPUTATIONS):
            z = self.code(self._encoded(imputed, autocast, context), autocast)
            y = self._output(z, autocast, context)
            imputed = torch.where(missing, self.likelihood.reconstruction(y, imputed, ~missing), x)
        return imputed

    @property
    def start_examples(self) -> int:
        return self.architecture.start_examples(self.likelihood.encoder_shape(self.shape))

    @torch.no_grad()
    def start(self, x: Tensor, target: Tensor, weights: Tensor | None) -> None:
        own = target is not x
        observed = ~target.isnan().flatten(1)
        counted = None if not own or observed.all() else observed
        if self.fill is not None:
            x, target = (rows.where(~rows.isnan(), self.fill) for rows in (x, target))
        target = target if own else x
        same, seen = self.likelihood.outputs(self.shape) == self.shape, self.likelihood.encoder_input(x)
        linear = self.likelihood.mean(target) == target if same else torch.zeros_like(target)
        weights = x.new_ones(len(x)) if weights is None else weights / weights.mean()
        importance = seen.new_ones(seen.shape[1:])
        if seen.shape == x.shape:
            importance *= torch.as_tensor(self.likelihood.weights_of(self.shape)).to(importance)
        shown = StartExamples(seen, target, weights, importance, linear.all(0), counted)
        self.architecture.start(Pair(self.encoder, self.decoder), shown, self.bottleneck.size, self.code)

    def forward(self, batch: Batch, generator: Generator, autocast: torch.dtype | None = None) -> Losses:
        """The loss of reconstructing the target, with the code used in training. Penalties count in training mode only."""
        with self._user_draws_from(generator), weighing(batch.weights, self.code_memory):
            self._start_anchors(batch.x, generator)
            variables = self._variables(autocast)
            x = self.impute(batch.x, autocast, batch.context)
            h = self._encoded(x, autocast, batch.context)
            code = self.bottleneck(h, variables, generator)
            own = self._own_output(code.z, autocast, _repeated(batch.context, code.z.shape[0]))
            losses = self._losses(code, own, batch)
            if self.training and self.penalty_memory:
                seen = self._seen(batch, x, h, code, gathered(own, code.z.shape[0]), variables, autocast)
                losses = self._with_penalties(losses, seen, batch.factors, generator)
            return losses

    def score(self, batch: Batch) -> Losses:
        """The loss with the code used at inference, without random numbers and without penalties."""
        code = self.deterministic(self.hidden(batch.x, None, batch.context))
        y = self._output(code.z, None, batch.context)
        return Losses(self.nll(y, batch.target, batch.counted), code.penalty, code.stats)

    def log_weights(
        self, x: Float[Tensor, "1 *x"], draws: int, generator: Generator, context: Tensor | None = None
    ) -> Float[Tensor, "draws"]:
        """log p(x | z) + log p(z) - log q(z | x) for codes z drawn from the posterior of one example: importance weights.

        The mean of their exponentials is an unbiased estimate of p(x) (Burda, Grosse & Salakhutdinov 2016). In nats, (draws,).
        """
        variables = self._variables()
        h = self._encoded(self.impute(x, None, context), None, context)
        code = self.bottleneck.weighted(h.expand(draws, *h.shape[1:]), variables, generator)
        y = self._output(code.z, None, _repeated(context, draws))
        return -(self.nll(y, x.expand(draws, *x.shape[1:])) + code.penalty)

    def nll(
        self, y: Float[Tensor, "b *y"], target: Float[Tensor, "b *x"], counted: Bool[Tensor, "b *x"] | None = None
    ) -> Float[Tensor, "b"]:
        """-log p(target | y) of decoder outputs, in nats per example and in the units of the data.

        The Jacobian of the scaling converts a density in model units to one in raw units, so that different scalings are comparable:
        it adds `log_scales_of` each observed value. A probability mass does not change. Scaling enters nowhere else.
        """
        variables = self.likelihood_memory
        if self.fill is None and counted is None:
            nll = self.likelihood.nll(y, target, variables)
            return nll + self.log_jacobian(None, target) if self.likelihood.density else nll
        if self.fill is not None:
            observed = ~target.isnan()
            target = target.where(observed, self.fill)
            counted = observed if counted is None else counted & observed
        assert counted is not None
        nll = self.likelihood.nll(y, target, variables, counted)
        return nll + self.log_jacobian(counted, target) if self.likelihood.density else nll

    def costs(self, batch: Batch) -> Float[Tensor, "b *x"]:
        """-log p of each value of the target, with the code used at inference; 0 where it is missing. Its sum is the nll of `score`."""
        code = self.deterministic(self.hidden(batch.x, None, batch.context))
        y, observed = self._output(code.z, None, batch.context), ~batch.target.isnan()
        target = batch.target if self.fill is None else batch.target.where(observed, self.fill)
        costs = self.likelihood.costs(y, target, self.likelihood_memory)
        if self.likelihood.density:
            costs = costs + self.log_scales_of(target)
        return costs.where(observed, 0)

    def unweighted(self) -> Model:
        """This model with a likelihood without weights of columns."""
        if not self.likelihood.weighted:
            return self
        other = copy(self)
        other._modules, other._buffers = {**self._modules}, {**self._buffers}
        other.use_likelihood(self.likelihood.unweighted)
        return other

    def use_likelihood(self, likelihood: Likelihood) -> None:
        """Sets the likelihood. The networks and its variables must fit it."""
        self.likelihood = likelihood
        mask = likelihood.densities(self.shape)
        densities = None if isinstance(mask, bool) else torch.as_tensor(mask).to(self.log_scales)
        scales = None if densities is None else self.log_scales * densities
        self.register_buffer("density_mask", densities, persistent=False)
        self.register_buffer("counted_log_scales", scales, persistent=False)

    def represent(
        self, x: Float[Tensor, "b *x"], generator: Generator, autocast: torch.dtype | None = None
    ) -> Float[Tensor, "b *code"]:
        """The deterministic codes, for training a classifier on them: user layers may draw random numbers from the generator."""
        with self._user_draws_from(generator):
            return self.code(self.hidden(x, autocast), autocast)

    def encode(self, x: Float[Tensor, "b *x"], context: Tensor | None = None) -> Float[Tensor, "b *code"]:
        """The codes used at inference, of examples in model units."""
        return self.code(self.hidden(x, None, context))

    def indices(self, x: Float[Tensor, "b *x"], context: Tensor | None = None) -> Int[Tensor, "b *positions"] | None:
        """The indices of the codebook entries of codes, None without a codebook."""
        return self.bottleneck.indices(self.hidden(x, None, context), self.code_memory)

    def decode(self, z: Float[Tensor, "b *code"], context: Tensor | None = None) -> Float[Tensor, "b *x"]:
        """The reconstructions of codes, in model units."""
        return self.likelihood.mean(self._output(z, None, context))

    def reconstruction(
        self, z: Float[Tensor, "b *code"], x: Float[Tensor, "b *x"], context: Tensor | None = None
    ) -> Float[Tensor, "b *x"]:
        """The reconstructions of examples from their codes, in model units: those of `decode`, or with the example's own total."""
        y = self._output(z, None, context)
        if self.fill is None:
            return self.likelihood.reconstruction(y, x)
        observed = ~x.isnan()
        return self.likelihood.reconstruction(y, x.where(observed, self.fill), observed)

    @torch.no_grad()
    def sample_codes(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "*shape"]:
        """Codes of a shape (n, *positions, size), sampled from the prior."""
        if self.has_prior and not self.bottleneck.has_prior:
            return torch.empty(shape, dtype=torch.float32, device=generator.device).normal_(generator=generator)
        return self.bottleneck.sample(shape, self._variables(), generator)

    def divergences(
        self, h: Float[Tensor, "b *positions encoder_outputs"]
    ) -> Float[Tensor, "b *positions size"] | None:
        """The Kullback-Leibler divergence of each unit from the prior, in nats; None if there is no posterior density."""
        return self.bottleneck.divergences(h, self._variables())

    def replace_penalty(self, penalty: Penalty, generator: Generator) -> bool:
        """Replaces the penalty. A term keeps the learned tensors of one of its type and sizes; others draw theirs from the generator.

        Returns whether the parameters have changed, so that the optimizer's moments no longer fit.
        """
        before, held = (
            list(self.penalty_memory.parameters()),
            list(zip(self.penalty.terms, self.penalty_memory, strict=True)),
        )
        parts: list[nn.Module] = []
        for term, new in zip(penalty.terms, self._penalty_variables(penalty, generator), strict=True):
            same = next((old for old in held if type(old[0]) is type(term) and _sizes(old[1]) == _sizes(new)), None)
            if same is not None:
                held.remove(same)
            parts.append(new.to(self.device, self.dtype) if same is None else same[1])
        self.penalty, self.penalty_memory = penalty, nn.ModuleList(parts)
        after = list(self.penalty_memory.parameters())
        return len(before) != len(after) or any(old is not new for old, new in zip(before, after, strict=True))

    def update_variables(self) -> bool:
        """Replaces the likelihood's variables if a file of an older format had others. Returns whether it did."""
        variables = self.likelihood.variables(self.shape).to(self.device, self.dtype)
        if variables.state_dict().keys() == self.likelihood_memory.state_dict().keys():
            return False
        variables.load_state_dict(self.likelihood_memory.state_dict(), strict=False)
        self.likelihood_memory = variables
        return True

    @property
    def fixed(self) -> Mapping[str, Tensor]:
        """The buffers of encoder and decoder that the architecture sets before training, and that training does not change."""
        names = {f"{part}.{name}" for part in ("encoder", "decoder") for name in self.architecture.fixed}
        return {name: buffer for name, buffer in self.named_buffers() if name in names}

    @property
    def n_fixed(self) -> int:
        """The number of fixed weights and biases, which `parameters` does not list."""
        return sum(each.numel() for name, each in self.fixed.items() if name.endswith((".weight", ".bias")))

    @property
    def user_buffers(self) -> set[str]:
        """The names of the other buffers of encoder and decoder, which may have any value."""
        return {n for n, _ in self.named_buffers() if n.startswith(("encoder.", "decoder."))} - self.fixed.keys()

    def first_nonfinite(self) -> str | None:
        """The name of the first weight or variable with a value that is not finite, else None. Buffers of user modules do not count."""
        user_buffers = self.user_buffers
        learned = sorted(item for item in self.state_dict().items() if item[0] not in user_buffers)
        return next((name for name, value in learned if not torch.isfinite(value).all()), None)

    def at_shape(self, shape: tuple[int, ...]) -> Model:
        """This model for images or series of another size, with the same weights; missing values are not imputed.

        Args:
            shape: of one image or series. Its sides are multiples of the stride of the architecture's `receptive_field`, not None.
        """
        other = copy(self)
        other._modules, other._buffers = {**self._modules}, {**self._buffers, "fill": None}
        other.shape = other.raw_shape = shape
        for name, part in other._build(Generator())._asdict().items():
            part.load_state_dict(getattr(self, name).state_dict(), assign=True)
            setattr(other, name, part.train(self.training))
        return other

    def _user_draws_from(self, generator: Generator) -> AbstractContextManager[object]:
        """A context in which user layers draw from this generator instead of the global ones."""
        return draw_from(generator, self.device) if self.architecture.stochastic else nullcontext()

    def _build(self, generator: Generator) -> Pair:
        """Encoder and decoder. An architecture learns of the decoder's shape only if it differs from that of an example."""
        seen, outputs = self.likelihood.encoder_shape(self.shape), self.likelihood.outputs(self.shape)
        sizes = (seen, self.bottleneck.encoder_outputs, self.bottleneck.size, generator)
        return self.architecture.build(*sizes) if outputs == seen else self.architecture.build(*sizes, outputs)

    def _shapes(self) -> Shapes:
        """The shapes that penalties learn of."""
        positions = self.architecture.positions(self.likelihood.encoder_shape(self.shape))
        return Shapes(self.shape, (*positions, self.bottleneck.size), self.context)

    def _penalty_variables(self, penalty: Penalty, generator: Generator) -> nn.ModuleList:
        """The learned tensors and running state of each penalty."""
        return nn.ModuleList(term.variables(self._shapes(), generator) for term in penalty.terms)

    def _losses(self, code: Code, own: Tensor, batch: Batch) -> Losses:
        """The losses of one or several draws of each example, from the decoder's output for the own rows."""
        target, counted, weights = (
            _repeated(rows, code.z.shape[0]) for rows in (batch.target, batch.counted, batch.weights)
        )
        assert target is not None
        with weighing(own_weights(weights, target), self.likelihood_memory):
            nll = self.nll(own, own_rows(target), None if counted is None else own_rows(counted))
        nll = gathered(nll, code.z.shape[0])
        penalty = code.penalty if batch.factors is None else code.penalty * batch.factors[0]
        if self.bottleneck.draws > 1:
            nll, penalty = self.bottleneck.combine(
                nll.reshape(-1, len(batch.x)), penalty.reshape(-1, len(batch.x)), code.z
            )
        return Losses(nll, penalty, code.stats)

    def _with_penalties(
        self, losses: Losses, seen: Pass, factors: tuple[float | Tensor, ...] | None, generator: Generator
    ) -> Losses:
        """The losses with the penalties of this model added. Each is also reported by its name."""
        penalty, stats, shared = losses.penalty, dict(losses.stats), losses.shared
        for number, (term, variables) in enumerate(zip(self.penalty.terms, self.penalty_memory, strict=True), 1):
            assert isinstance(variables, Variables)
            cost = term(seen, variables, generator)
            scheduled = cost if factors is None else cost * factors[number]
            penalty = penalty + scheduled
            if not cost.ndim:
                shared = scheduled if shared is None else shared + scheduled
            stats[_stat_name(type(term).__name__, stats)] = cost.mean()
        return Losses(losses.nll, penalty, stats, shared)

    def _seen(
        self,
        batch: Batch,
        x: Tensor,
        h: Tensor,
        code: Code,
        y: Tensor,
        variables: Variables,
        autocast: torch.dtype | None,
    ) -> Pass:
        """The forward pass as penalties see it."""
        context = batch.context

        def of_batch(rows: Tensor) -> Tensor | None:
            return _repeated(context, rows.shape[0])

        return Pass(
            x=x,
            target=batch.target,
            context=context,
            h=h,
            code=code,
            y=y,
            posterior=self.bottleneck.posterior(h),
            encode=lambda rows: self._encoded(rows, autocast, of_batch(rows)),
            deterministic=lambda rows: self.bottleneck.deterministic(rows, variables),
            decode=lambda rows: self._output(rows, autocast, of_batch(rows)),
            mean=self.likelihood.mean,
            draw=lambda rows, generator: self.likelihood.draw(rows, self.likelihood_memory, generator),
        )

    @torch.no_grad()
    def _start_anchors(self, x: Tensor, generator: Generator) -> None:
        """In the first training step the pseudo-inputs become random examples of the batch."""
        if self.anchors is None or not self.training:
            return
        draw = torch.randint(len(x), (len(self.anchors),), generator=generator, device=generator.device)
        rows = x[draw] if self.fill is None else torch.where(x[draw].isnan(), self.fill, x[draw])
        self.anchors.copy_(torch.where(self.anchors_started, self.anchors, rows))
        self.anchors_started.fill_(True)

    def _variables(self, autocast: torch.dtype | None = None) -> Variables:
        """The variables of the bottleneck, with the encoder's outputs for the pseudo-inputs if it has some."""
        if self.anchors is None:
            return self.code_memory
        return VariablesWith(self.code_memory, anchors=self._encoded(self.anchors, autocast, None))

    def deterministic(self, h: Tensor, autocast: torch.dtype | None = None) -> Code:
        """The code used at inference, of an encoder's output, with its penalty."""
        return self.bottleneck.deterministic(h, self._variables(autocast))

    def code(self, h: Tensor, autocast: torch.dtype | None = None) -> Tensor:
        """The code used at inference, of an encoder's output. A prior, and pseudo-inputs, are not asked for it."""
        posterior = self.bottleneck.posterior(h)
        return self.deterministic(h, autocast).z if posterior is None else posterior.mean

    def hidden(self, x: Tensor, autocast: torch.dtype | None = None, context: Tensor | None = None) -> Tensor:
        """The encoder's output (b, *positions, encoder_outputs) of examples in model units; missing values are imputed first."""
        return self._encoded(self.impute(x, autocast, context), autocast, context)

    def _encoded(self, x: Tensor, autocast: torch.dtype | None, context: Tensor | None) -> Tensor:
        return gathered(self._through(self.encoder, self.likelihood.encoder_input(x), autocast, context), x.shape[0])

    def _output(self, z: Tensor, autocast: torch.dtype | None = None, context: Tensor | None = None) -> Tensor:
        return gathered(self._own_output(z, autocast, context), z.shape[0])

    def _own_output(self, z: Tensor, autocast: torch.dtype | None, context: Tensor | None) -> Tensor:
        """The decoder's output for this process's rows, if it does not train alone."""
        return self._through(self.decoder, z, autocast, context)

    def _through(self, part: nn.Module, x: Tensor, autocast: torch.dtype | None, context: Tensor | None) -> Tensor:
        """The output of encoder or decoder for the own rows, possibly in another precision. All else computes in full precision."""
        own = own_rows(x)
        with autocast_to(x, autocast):
            output: Tensor = (
                part(own)
                if self.architecture.context is None
                else part(own, None if context is None else own_rows(context))
            )
        return output.to(x.dtype)


def check_gradients(bottleneck: Bottleneck, penalty: Penalty) -> None:
    """`RecordError` if the bottleneck would change the gradients of the penalty."""
    if penalty.terms and bottleneck.rescales_gradients:
        raise RecordError(
            f"{bottleneck!r} changes the gradients of its codes, which would change those of penalty={penalty!r} too: leave it out, "
            "or choose a gradient or a bottleneck that does not"
        )


def _sizes(module: nn.Module) -> dict[str, torch.Size]:
    """The shape of each tensor of a module."""
    return {name: value.shape for name, value in module.state_dict().items()}


def _pseudo_inputs(count: int, shape: tuple[int, ...], generator: Generator) -> nn.Parameter:
    """Random pseudo-inputs, which the first training step replaces."""
    return nn.Parameter(torch.empty(count, *shape, dtype=torch.float32).normal_(generator=generator))


def _repeated(rows: Tensor | None, count: int) -> Tensor | None:
    """Rows (b, ...) repeated one batch after the other to this count, a multiple of b."""
    if rows is None or rows.shape[0] == count:
        return rows
    return rows.repeat(count // rows.shape[0], *[1] * (rows.ndim - 1))


def _stat_name(name: str, taken: Mapping[str, Any]) -> str:
    """The name of a penalty among the statistics: of several of one kind, the second is name_2."""
    number = 1
    while (numbered := name if number == 1 else f"{name}_{number}") in taken:
        number += 1
    return numbered
