"""Recipes: named autoencoders with tuned defaults. Each is one expression of the components, and returns an unfitted `Autoencoder`.

Components that are "auto" are chosen from the data. ``set_params`` changes all parameters, on the command line ``field=value``.
"""

from __future__ import annotations

from typing import Literal

from isthmus.architectures import MLP, Conv, LinearSkip
from isthmus.augmentations import Flip
from isthmus.bottlenecks import L1, Gaussian, Identity, ImportanceWeighted, Nested, TopK, VectorQuantized
from isthmus.corruptions import GaussianNoise, Masking, Occlusion, Patches
from isthmus.errors import RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.likelihoods import Multinomial, NegativeBinomial, Normal
from isthmus.optimizers import AdamW, OneCycle
from isthmus.penalties import MMD, Adversarial, Contractive, TotalCorrelation
from isthmus.priors import Mixture, VampPrior
from isthmus.records import nearest
from isthmus.scaling import Quantile
from isthmus.schedules import Warmup

__all__ = [
    "adversarial",
    "completing",
    "contractive",
    "convolutional",
    "convolutional_variational",
    "counts",
    "deep",
    "denoising",
    "disentangled",
    "importance_weighted",
    "linear",
    "masked",
    "nested",
    "photos",
    "quantized",
    "recommender",
    "simple",
    "sparse",
    "tabular",
    "topk",
    "vamp",
    "variational",
    "wasserstein",
]


def deep(size: int | Literal["auto"] = "auto") -> Autoencoder:
    """The default for any data: dense layers of 512 and 256 units each way. The code is 32-dimensional, or half of the features.

    With missing="allow" it is the default for missing values, `LinearSkip(MLP((128,)))`.

    Paper: Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks".

    Args:
        size: the dimension of the code; "auto": 32, or half of the features if that is less.

    Examples:
        >>> isthmus.recipes.deep(16).set_params(epochs=1, random_state=0).fit(X).code_shape_
        (16,)
    """
    return Autoencoder("auto" if size == "auto" else Identity(size))


def simple(size: int = 32) -> Autoencoder:
    """One dense layer each way and a non-negative code: the smallest autoencoder.

    Paper: Rumelhart, Hinton & Williams 1986, "Learning internal representations by error propagation".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size, "relu"), architecture=MLP(()), optimizer=AdamW(1e-2, schedule=OneCycle()))


def linear(size: int = 32) -> Autoencoder:
    """Principal component analysis as an autoencoder: one linear layer each way with tied weights, and squared error.

    Paper: Baldi & Hornik 1989, "Neural networks and principal component analysis: Learning from examples without local minima".

    Args:
        size: the dimension of the code.
    """
    optimizer = AdamW(5e-3, weight_decay=0, schedule=OneCycle())
    return Autoencoder(Identity(size), architecture=MLP((), tied=True), likelihood=Normal(), optimizer=optimizer)


def sparse(size: int = 128) -> Autoencoder:
    """A large code that an L1 penalty makes sparse.

    Paper: Goodfellow, Bengio & Courville 2016, "Deep Learning", section 14.2.1.

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(L1(size, weight=0.1), architecture=MLP((512,)))


def topk(size: int = 256, k: int = 16) -> Autoencoder:
    """A large code of which only the k largest values are kept.

    Paper: Makhzani & Frey 2013, "k-Sparse autoencoders".

    Args:
        size: the dimension of the code.
        k: the number of units that are not zero.
    """
    return Autoencoder(TopK(size, k=k), architecture=MLP((512,)))


def convolutional(size: int = 32) -> Autoencoder:
    """Convolutions for images of any size and number of channels, and for signals.

    Paper: Masci, Meier, Cireşan & Schmidhuber 2011, "Stacked convolutional auto-encoders for hierarchical feature extraction".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size), architecture=Conv((32, 64)))


def denoising(size: int = 64) -> Autoencoder:
    """A denoising autoencoder: Gaussian noise of half the range or standard deviation of the data.

    Paper: Vincent, Larochelle, Bengio & Manzagol 2008, "Extracting and composing robust features with denoising autoencoders".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size), architecture=MLP(), corruption=GaussianNoise(0.5))


def completing(size: int = 64) -> Autoencoder:
    """Completes examples of which only the first third is visible.

    Paper: Pathak, Krähenbühl, Donahue, Darrell & Efros 2016, "Context encoders: Feature learning by inpainting".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size), architecture=MLP(), corruption=Occlusion(1 / 3))


def variational(size: int = 16) -> Autoencoder:
    """A variational autoencoder with a Gaussian code, from which new examples can be sampled.

    Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Gaussian(size), architecture=MLP())


def photos(size: int = 32) -> Autoencoder:
    """Photographs of one size, also a few hundred: dense layers with a linear map beside them, so that training begins with PCA.

    Images are also seen mirrored. The error is squared, and 15 passes over the images are enough.

    Paper: Bachlechner, Majumder, Mao, Cottrell & McAuley 2021, "ReZero is all you need: Fast convergence at large depth".

    Args:
        size: the dimension of the code.
    """
    optimizer = AdamW(1e-3, schedule=OneCycle())
    return Autoencoder(
        Identity(size),
        architecture=LinearSkip(),
        augmentation=Flip(),
        likelihood=Normal("learned"),
        optimizer=optimizer,
        epochs=15,
    )


def convolutional_variational(size: int = 16) -> Autoencoder:
    """A variational autoencoder with convolutions.

    Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Gaussian(size), architecture=Conv((32, 64)))


def quantized(size: int = 16) -> Autoencoder:
    """A small map of codes, each an entry of a learned codebook: for images.

    Paper: van den Oord, Vinyals & Kavukcuoglu 2017, "Neural discrete representation learning".

    Args:
        size: the dimension of the code at each position.
    """
    return Autoencoder(VectorQuantized(size, codebook_size=256), architecture=Conv((32,), code="map"))


def importance_weighted(size: int = 16, draws: int = 5) -> Autoencoder:
    """A variational autoencoder whose training draws several codes for each example and has a tighter bound.

    Paper: Burda, Grosse & Salakhutdinov 2016, "Importance weighted autoencoders".

    Args:
        size: the dimension of the code.
        draws: codes that training draws for each example.
    """
    return Autoencoder(ImportanceWeighted(size, draws=draws), architecture=MLP())


def vamp(size: int = 16) -> Autoencoder:
    """A variational autoencoder with a learned prior: a mixture of the posteriors of 50 pseudo-inputs.

    Paper: Tomczak & Welling 2018, "VAE with a VampPrior".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Gaussian(size, prior=VampPrior(50)), architecture=MLP())


def counts(size: int = 10) -> Autoencoder:
    """A variational autoencoder of counts, such as the genes of cells: negative binomial, with the total of an example as an offset.

    With ``architecture=Conditional(MLP((128,)))`` the decoder knows y, such as the batch of a cell, and the code need not hold it.

    Paper: Lopez, Regier, Cole, Jordan & Yosef 2018, "Deep generative modeling for single-cell transcriptomics".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Gaussian(size), architecture=MLP((128,)), likelihood=NegativeBinomial(total="observed"))


def recommender(size: int = 200) -> Autoencoder:
    """Recommends items to users, from a table of users and items, such as purchases: `reconstruct` scores all items.

    Half of the items are hidden from the encoder, and the weight of the divergence rises to 0.2.

    Paper: Liang, Krishnan, Hoffman & Jebara 2018, "Variational autoencoders for collaborative filtering".

    Args:
        size: the dimension of the code.
    """
    bottleneck, likelihood = Gaussian(size, beta=0.2, schedule=Warmup(0.5)), Multinomial(input="unit")
    return Autoencoder(bottleneck, architecture=MLP((600,), "tanh"), corruption=Masking(0.5), likelihood=likelihood)


def tabular(size: int = 16) -> Autoencoder:
    """A variational autoencoder of tables, for synthetic rows: `sample` draws rows that have the values and relations of the data.

    Numbers are taken by quantiles, where each frequent value keeps its ranks, and the decoder predicts their spread. The prior is a learned
    mixture, and the weight of the divergence rises during the first half of the training, so that the code holds the relations of columns.
    The TVAE of the paper has modes in place of quantiles, and the prior N(0, 1).

    Paper: Xu, Skoularidou, Cuesta-Infante & Veeramachaneni 2019, "Modeling tabular data using conditional GAN".

    Args:
        size: the dimension of the code.
    """
    bottleneck, scaling = Gaussian(size, schedule=Warmup(0.5), prior=Mixture(20)), Quantile(ties="interval")
    architecture, likelihood = MLP((128, 128)), Normal("predicted")
    return Autoencoder(bottleneck, architecture=architecture, likelihood=likelihood, scaling=scaling, epochs=150)


def disentangled(size: int = 10) -> Autoencoder:
    """A variational autoencoder whose units are pressed to be independent: a penalty on their total correlation.

    Paper: Chen, Li, Grosse & Duvenaud 2018, "Isolating sources of disentanglement in variational autoencoders".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Gaussian(size), architecture=MLP(), penalty=TotalCorrelation(5))


def wasserstein(size: int = 16) -> Autoencoder:
    """An autoencoder whose codes are pressed to follow N(0, 1), from which new examples can be sampled.

    Paper: Tolstikhin, Bousquet, Gelly & Schoelkopf 2018, "Wasserstein auto-encoders".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size), architecture=MLP(), penalty=MMD(10))


def adversarial(size: int = 8) -> Autoencoder:
    """An autoencoder whose codes a critic cannot tell from N(0, 1), from which new examples can be sampled.

    Paper: Makhzani, Shlens, Jaitly, Goodfellow & Frey 2016, "Adversarial autoencoders".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size), architecture=MLP(), penalty=Adversarial(5))


def contractive(size: int = 32) -> Autoencoder:
    """An autoencoder whose code hardly changes with small changes of the example.

    Paper: Rifai, Vincent, Muller, Glorot & Bengio 2011, "Contractive auto-encoders".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size), architecture=MLP(), penalty=Contractive(0.1, exact=False))


def masked(size: int = 64) -> Autoencoder:
    """A masked autoencoder: half of the patches of each image, or of the values of a row, are hidden, and the loss counts the hidden ones.

    Paper: He, Chen, Xie, Li, Dollar & Girshick 2022, "Masked autoencoders are scalable vision learners".

    Args:
        size: the dimension of the code.
    """
    return Autoencoder(Identity(size), architecture=MLP(), corruption=Patches(2, rate=0.5))


def nested(size: int = 32) -> Autoencoder:
    """A code whose first 2, 4, 8, ... units are a code too.

    Paper: Kusupati et al. 2022, "Matryoshka representation learning".

    Args:
        size: the dimension of the code.
    """
    prefixes = tuple(2**power for power in range(1, size.bit_length()) if 2**power < size)
    return Autoencoder(Nested(size, sizes=(*prefixes, size)), architecture=MLP())


def find(name: str) -> Autoencoder:
    """The recipe with this name and its default size; `RecordError` names the closest match."""
    if name not in __all__:
        raise RecordError(f"no recipe '{name}'{nearest(name, __all__)}")
    return globals()[name]()  # type: ignore[no-any-return]


def paper(name: str) -> str:
    """The paper of the recipe with this name, as its docstring cites it."""
    cited = (globals()[name].__doc__ or "").partition("Paper: ")[2]
    return " ".join(cited.partition("\n\n")[0].split()).removesuffix(".")
