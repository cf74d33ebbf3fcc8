"""What things are also called: by PyTorch, scikit-learn and courses, whatever the case and the separators."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_LOSSES = {
    "CrossEntropyLoss": "cross_entropy",
    "CE": "cross_entropy",
    "log loss": "cross_entropy",
    "softmax cross-entropy": "cross_entropy",
    "NLLLoss": "nll",
    "BCE with logits": "bce",
    "BCEWithLogitsLoss": "bce",
    "binary cross-entropy with logits": "bce",
    "MSELoss": "mse",
    "mean squared error": "mse",
    "L2": "mse",
    "L1Loss": "l1",
    "MAE": "l1",
    "mean absolute error": "l1",
    "HuberLoss": "huber",
    "smooth L1": "huber",
    "SmoothL1Loss": "huber",
    "KLDivLoss": "kl_div",
    "KL": "kl_div",
    "KL divergence": "kl_div",
    "Kullback–Leibler": "kl_div",
    "TripletMarginLoss": "triplet_margin",
    "triplet": "triplet_margin",
    "triplet loss": "triplet_margin",
    "교차 엔트로피": "cross_entropy",
    "이진 교차 엔트로피": "bce",
    "후버": "huber",
    "크로스 엔트로피": "cross_entropy",
    "평균 제곱 오차": "mse",
    "평균 절대 오차": "l1",
    "쿨백라이블러": "kl_div",
    "삼중항": "triplet_margin",
}
# Of a kind of thing: as it is written elsewhere → the name in this package.
WRITTEN: Mapping[str, Mapping[str, str]] = {
    "optimizer": {
        "GD": "sgd",
        "gradient descent": "sgd",
        "steepest descent": "sgd",
        "stochastic gradient descent": "sgd",
        "경사 하강법": "sgd",
        "확률적 경사 하강법": "sgd",
        "heavy ball": "momentum",
        "Polyak": "momentum",
        "SGDM": "momentum",
        "SGD momentum": "momentum",
        "모멘텀": "momentum",
        "NAG": "nesterov",
        "Nesterov momentum": "nesterov",
        "Nesterov accelerated gradient": "nesterov",
        "네스테로프": "nesterov",
        "아담": "adam",
        "아다그라드": "adagrad",
        "아다델타": "adadelta",
        "애덤": "adam",
        "아담W": "adamw",
        "애덤W": "adamw",
        "알엠에스프롭": "rmsprop",
        "라이언": "lion",
        "뮤온": "muon",
        "네스테로프 모멘텀": "nesterov",
        "네스테로프 가속 경사": "nesterov",
        "관성": "momentum",
    },
    "argument": {
        "learning rate": "lr",
        "max_precond_dim": "max_dim",
        "max_preconditioner_dim": "max_dim",
        "precond_freq": "every",
        "precondition_frequency": "every",
        "update_freq": "every",
    },
    "schedule": {
        "fixed": "constant",
        "ConstantLR": "constant",
        "cosine annealing": "cosine",
        "CosineAnnealingLR": "cosine",
        "CosineAnnealingWarmRestarts": "cosine_restarts",
        "SGDR": "cosine_restarts",
        "LinearLR": "linear",
        "PolynomialLR": "polynomial",
        "StepLR": "step",
        "MultiStepLR": "multistep",
        "ExponentialLR": "exponential",
        "OneCycleLR": "one_cycle",
        "CyclicLR": "cyclic",
        "ReduceLROnPlateau": "plateau",
        "LambdaLR": "lambda",
        "MultiplicativeLR": "multiplicative",
        "SequentialLR": "sequential",
        "ChainedScheduler": "chained",
        "상수": "constant",
        "코사인": "cosine",
        "워밍업": "warmup",
        "웜업": "warmup",
        "고정": "constant",
        "일정": "constant",
        "코사인 감쇠": "cosine",
        "코사인 어닐링": "cosine",
        "코사인 재시작": "cosine_restarts",
        "지수": "exponential",
        "지수 감쇠": "exponential",
        "계단": "step",
        "계단 감쇠": "step",
        "스텝": "step",
        "선형": "linear",
        "선형 감쇠": "linear",
        "다항": "polynomial",
        "다항 감쇠": "polynomial",
        "원사이클": "one_cycle",
        "순환": "cyclic",
        "순환 학습률": "cyclic",
    },
    "regularizer": {
        "early stop": "early_stopping",
        "ridge": "l2",
        "lasso": "l1",
        "Gaussian noise": "input_noise",
        "gradient clipping": "clip_norm",
        "clip_grad_norm": "clip_norm",
        "clip_grad_value": "clip_value",
        "exponential moving average": "ema",
        "stochastic weight averaging": "swa",
        "horizontal flip": "flip",
        "RandomCrop": "crop",
        "rotation": "rotate",
        "weight decay": "decoupled_decay",
        "드롭아웃": "dropout",
        "조기 종료": "early_stopping",
        "믹스업": "mixup",
        "컷믹스": "cutmix",
        "레이블 평활화": "label_smoothing",
        "라벨 평활화": "label_smoothing",
        "레이블 스무딩": "label_smoothing",
        "라벨 스무딩": "label_smoothing",
        "L2 정규화": "l2",
        "L2 규제": "l2",
        "L1 정규화": "l1",
        "L1 규제": "l1",
        "가중치 감쇠": "decoupled_decay",
        "조기 중단": "early_stopping",
        "얼리 스토핑": "early_stopping",
        "입력 잡음": "input_noise",
        "가중치 잡음": "weight_noise",
        "경사 클리핑": "clip_norm",
        "그래디언트 클리핑": "clip_norm",
        "기울기 클리핑": "clip_norm",
        "지수 이동 평균": "ema",
        "가중치 평균": "swa",
        "이동": "shift",
        "뒤집기": "flip",
        "자르기": "crop",
        "회전": "rotate",
        "릿지": "l2",
        "라쏘": "l1",
    },
    "loss": _LOSSES,
    "metric": {
        **{alias: name for alias, name in _LOSSES.items() if alias != "MAE"},  # losses are metrics, too
        "acc": "accuracy",
        "정확도": "accuracy",
        "accuracy_score": "accuracy",
        "top-k accuracy": "top_k",
        "top_k_accuracy_score": "top_k",
        "F1 score": "f1",
        "AUC-ROC": "auc",
        "AUROC": "auc",
        "ROC AUC": "auc",
        "roc_auc_score": "auc",
        "R2 score": "r2",
        "ppl": "perplexity",
        "mean absolute error": "mae",
        "평균 절대 오차": "mae",
    },
    "surface": {
        "banana": "rosenbrock",
        "bowl": "quadratic",
        "valley": "ravine",
        "saddle point": "saddle",
        "monkey saddle point": "monkey_saddle",
        "이차 함수": "quadratic",
        "협곡": "ravine",
        "안장점": "saddle",
        "안장": "saddle",
        "그릇": "quadratic",
        "로젠브록": "rosenbrock",
        "바나나": "rosenbrock",
        "골짜기": "ravine",
        "원숭이 안장": "monkey_saddle",
        "원숭이 안장점": "monkey_saddle",
        "비일": "beale",
        "힘멜블라우": "himmelblau",
        "라스트리긴": "rastrigin",
        "애클리": "ackley",
        "아클리": "ackley",
    },
    "distribution of torch.distributions": {
        "Gaussian": "Normal",
        "가우시안": "Normal",
        "정규 분포": "Normal",
        "라플라스": "Laplace",
        "t": "StudentT",
    },
}


def _joined(name: str) -> str:
    """In lower case, without spaces, hyphens and underscores."""
    return re.sub(r"[\s_–-]", "", name).lower()


# The same in lower case without separators.
ALIASES: Mapping[str, Mapping[str, str]] = {
    kind: {_joined(alias): name for alias, name in names.items()} for kind, names in WRITTEN.items()
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
