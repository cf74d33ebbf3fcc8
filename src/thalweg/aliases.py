"""What things are also called: by PyTorch, scikit-learn and courses, whatever the case and the separators."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_LOSSES = {
    "crossentropyloss": "cross_entropy",
    "ce": "cross_entropy",
    "logloss": "cross_entropy",
    "softmaxcrossentropy": "cross_entropy",
    "nllloss": "nll",
    "bcewithlogits": "bce",
    "bcewithlogitsloss": "bce",
    "binarycrossentropywithlogits": "bce",
    "mseloss": "mse",
    "meansquarederror": "mse",
    "l2": "mse",
    "l1loss": "l1",
    "mae": "l1",
    "meanabsoluteerror": "l1",
    "huberloss": "huber",
    "smoothl1": "huber",
    "smoothl1loss": "huber",
    "kldivloss": "kl_div",
    "kl": "kl_div",
    "kldivergence": "kl_div",
    "kullbackleibler": "kl_div",
    "tripletmarginloss": "triplet_margin",
    "triplet": "triplet_margin",
    "tripletloss": "triplet_margin",
    "교차엔트로피": "cross_entropy",
    "이진교차엔트로피": "bce",
    "후버": "huber",
    "크로스엔트로피": "cross_entropy",
    "평균제곱오차": "mse",
    "평균절대오차": "l1",
    "쿨백라이블러": "kl_div",
    "삼중항": "triplet_margin",
}
# Of a kind of thing: in lower case without separators → the name in this package.
ALIASES: Mapping[str, Mapping[str, str]] = {
    "optimizer": {
        "gd": "sgd",
        "gradientdescent": "sgd",
        "steepestdescent": "sgd",
        "stochasticgradientdescent": "sgd",
        "경사하강법": "sgd",
        "확률적경사하강법": "sgd",
        "heavyball": "momentum",
        "polyak": "momentum",
        "sgdm": "momentum",
        "sgdmomentum": "momentum",
        "모멘텀": "momentum",
        "nag": "nesterov",
        "nesterovmomentum": "nesterov",
        "nesterovacceleratedgradient": "nesterov",
        "네스테로프": "nesterov",
        "아담": "adam",
        "아다그라드": "adagrad",
        "아다델타": "adadelta",
        "애덤": "adam",
        "아담w": "adamw",
        "애덤w": "adamw",
        "알엠에스프롭": "rmsprop",
        "라이언": "lion",
        "뮤온": "muon",
        "네스테로프모멘텀": "nesterov",
        "네스테로프가속경사": "nesterov",
        "관성": "momentum",
    },
    "argument": {
        "learningrate": "lr",
        "maxpreconddim": "max_dim",
        "maxpreconditionerdim": "max_dim",
        "precondfreq": "every",
        "preconditionfrequency": "every",
        "updatefreq": "every",
    },
    "schedule": {
        "fixed": "constant",
        "constantlr": "constant",
        "cosineannealing": "cosine",
        "cosineannealinglr": "cosine",
        "cosineannealingwarmrestarts": "cosine_restarts",
        "sgdr": "cosine_restarts",
        "linearlr": "linear",
        "polynomiallr": "polynomial",
        "steplr": "step",
        "multisteplr": "multistep",
        "exponentiallr": "exponential",
        "onecyclelr": "one_cycle",
        "cycliclr": "cyclic",
        "reducelronplateau": "plateau",
        "lambdalr": "lambda",
        "multiplicativelr": "multiplicative",
        "sequentiallr": "sequential",
        "chainedscheduler": "chained",
        "상수": "constant",
        "코사인": "cosine",
        "워밍업": "warmup",
        "웜업": "warmup",
        "고정": "constant",
        "일정": "constant",
        "코사인감쇠": "cosine",
        "코사인어닐링": "cosine",
        "코사인재시작": "cosine_restarts",
        "지수": "exponential",
        "지수감쇠": "exponential",
        "계단": "step",
        "계단감쇠": "step",
        "스텝": "step",
        "선형": "linear",
        "선형감쇠": "linear",
        "다항": "polynomial",
        "다항감쇠": "polynomial",
        "원사이클": "one_cycle",
        "순환": "cyclic",
        "순환학습률": "cyclic",
    },
    "regularizer": {
        "earlystop": "early_stopping",
        "ridge": "l2",
        "lasso": "l1",
        "gaussiannoise": "input_noise",
        "gradientclipping": "clip_norm",
        "clipgradnorm": "clip_norm",
        "clipgradvalue": "clip_value",
        "exponentialmovingaverage": "ema",
        "stochasticweightaveraging": "swa",
        "horizontalflip": "flip",
        "randomcrop": "crop",
        "rotation": "rotate",
        "weightdecay": "decoupled_decay",
        "드롭아웃": "dropout",
        "조기종료": "early_stopping",
        "믹스업": "mixup",
        "컷믹스": "cutmix",
        "레이블평활화": "label_smoothing",
        "릿지": "l2",
        "라쏘": "l1",
    },
    "loss": _LOSSES,
    "metric": {
        **{alias: name for alias, name in _LOSSES.items() if alias != "mae"},  # losses are metrics, too
        "acc": "accuracy",
        "정확도": "accuracy",
        "accuracyscore": "accuracy",
        "topkaccuracy": "top_k",
        "topkaccuracyscore": "top_k",
        "f1score": "f1",
        "aucroc": "auc",
        "auroc": "auc",
        "rocauc": "auc",
        "rocaucscore": "auc",
        "r2score": "r2",
        "ppl": "perplexity",
        "meanabsoluteerror": "mae",
        "평균절대오차": "mae",
    },
    "surface": {
        "banana": "rosenbrock",
        "bowl": "quadratic",
        "valley": "ravine",
        "이차함수": "quadratic",
        "협곡": "ravine",
        "안장점": "saddle",
        "안장": "saddle",
        "그릇": "quadratic",
        "로젠브록": "rosenbrock",
    },
    "distribution of torch.distributions": {
        "gaussian": "Normal",
        "가우시안": "Normal",
        "정규분포": "Normal",
        "라플라스": "Laplace",
        "t": "StudentT",
    },
}


def called(kind: str, given: str, names: Collection[str]) -> str | None:
    """The one of these names that is meant: as it is written, or but for case and separators, or by another name.

    Args:
        kind: as `ALIASES` has it.

    >>> called("schedule", "CosineAnnealingLR", ["cosine", "step"]), called("loss", "Cross-Entropy", ["cross_entropy"])
    ('cosine', 'cross_entropy')
    """
    if given in names:
        return given
    wanted, aliases = _joined(given), ALIASES.get(kind, {})
    spelled = {_joined(name): name for name in names}
    return spelled.get(wanted) or (aliases[wanted] if aliases.get(wanted) in names else None)


def _joined(name: str) -> str:
    """In lower case, without spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]", "", name).lower()
