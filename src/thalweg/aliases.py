"""What things are also called: by PyTorch, scikit-learn and courses, whatever the case and the separators."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_LOSSES = {
    "cross_entropy": "CrossEntropyLoss, CE, log loss, softmax cross-entropy, 교차 엔트로피, 크로스 엔트로피",
    "nll": "NLLLoss",
    "bce": "BCE with logits, BCEWithLogitsLoss, binary cross-entropy with logits, 이진 교차 엔트로피",
    "mse": "MSELoss, mean squared error, L2, 평균 제곱 오차",
    "l1": "L1Loss, MAE, mean absolute error, 평균 절대 오차",
    "huber": "HuberLoss, smooth L1, SmoothL1Loss, 후버",
    "kl_div": "KLDivLoss, KL, KL divergence, Kullback–Leibler, 쿨백라이블러",
    "triplet_margin": "TripletMarginLoss, triplet, triplet loss, 삼중항",
}
# Of a kind of thing: its name in this package → what it is called elsewhere, separated by commas.
WRITTEN: Mapping[str, Mapping[str, str]] = {
    "optimizer": {
        "sgd": "GD, gradient descent, steepest descent, stochastic gradient descent, 경사 하강법, 확률적 경사 하강법",
        "momentum": "heavy ball, Polyak, SGDM, SGD momentum, 모멘텀, 관성",
        "nesterov": (
            "NAG, Nesterov momentum, Nesterov accelerated gradient, 네스테로프, 네스테로프 모멘텀, 네스테로프 가속 경사"
        ),
        "adam": "아담, 애덤",
        "adagrad": "아다그라드",
        "adadelta": "아다델타",
        "adamw": "아담W, 애덤W",
        "rmsprop": "알엠에스프롭",
        "lion": "라이언",
        "muon": "뮤온",
    },
    "argument": {
        "lr": "learning rate",
        "max_dim": "max_precond_dim, max_preconditioner_dim",
        "every": "precond_freq, precondition_frequency, update_freq",
    },
    "schedule": {
        "constant": "fixed, ConstantLR, 상수, 고정, 일정",
        "cosine": "cosine annealing, CosineAnnealingLR, 코사인, 코사인 감쇠, 코사인 어닐링",
        "cosine_restarts": "CosineAnnealingWarmRestarts, SGDR, 코사인 재시작",
        "linear": "LinearLR, 선형, 선형 감쇠",
        "polynomial": "PolynomialLR, 다항, 다항 감쇠",
        "step": "StepLR, 계단, 계단 감쇠, 스텝",
        "multistep": "MultiStepLR",
        "exponential": "ExponentialLR, 지수, 지수 감쇠",
        "one_cycle": "OneCycleLR, 원사이클",
        "cyclic": "CyclicLR, 순환, 순환 학습률",
        "plateau": "ReduceLROnPlateau",
        "lambda": "LambdaLR",
        "multiplicative": "MultiplicativeLR",
        "sequential": "SequentialLR",
        "chained": "ChainedScheduler",
        "warmup": "워밍업, 웜업",
    },
    "regularizer": {
        "early_stopping": "early stop, 조기 종료, 조기 중단, 얼리 스토핑",
        "l2": "ridge, L2 정규화, L2 규제, 릿지",
        "l1": "lasso, L1 정규화, L1 규제, 라쏘",
        "input_noise": "Gaussian noise, 입력 잡음",
        "clip_norm": "gradient clipping, clip_grad_norm, 경사 클리핑, 그래디언트 클리핑, 기울기 클리핑",
        "clip_value": "clip_grad_value",
        "ema": "exponential moving average, 지수 이동 평균",
        "swa": "stochastic weight averaging, 가중치 평균",
        "flip": "horizontal flip, 뒤집기",
        "crop": "RandomCrop, 자르기",
        "rotate": "rotation, 회전",
        "decoupled_decay": "weight decay, 가중치 감쇠",
        "dropout": "드롭아웃",
        "mixup": "믹스업",
        "cutmix": "컷믹스",
        "label_smoothing": "레이블 평활화, 라벨 평활화, 레이블 스무딩, 라벨 스무딩",
        "weight_noise": "가중치 잡음",
        "shift": "이동",
    },
    "loss": _LOSSES,
    "metric": {
        **_LOSSES,  # losses are metrics, too
        "l1": "L1Loss",  # the others are names of the metric
        "mae": "mean absolute error, 평균 절대 오차",
        "accuracy": "acc, 정확도, accuracy_score",
        "top_k": "top-k accuracy, top_k_accuracy_score",
        "f1": "F1 score",
        "auc": "AUC-ROC, AUROC, ROC AUC, roc_auc_score",
        "r2": "R2 score",
        "perplexity": "ppl",
    },
    "surface": {
        "rosenbrock": "banana, 로젠브록, 바나나",
        "quadratic": "bowl, 이차 함수, 그릇",
        "ravine": "valley, 협곡, 골짜기",
        "saddle": "saddle point, 안장점, 안장",
        "monkey_saddle": "monkey saddle point, 원숭이 안장, 원숭이 안장점",
        "beale": "비일",
        "himmelblau": "힘멜블라우",
        "rastrigin": "라스트리긴",
        "ackley": "애클리, 아클리",
    },
    "distribution of torch.distributions": {
        "Normal": "Gaussian, 가우시안, 정규 분포",
        "Laplace": "라플라스",
        "StudentT": "t",
    },
}


def _joined(name: str) -> str:
    """In lower case, without spaces, hyphens and underscores."""
    return re.sub(r"[\s_–-]", "", name).lower()


# Of a kind of thing: another name, in lower case without separators → the name in this package.
ALIASES: Mapping[str, Mapping[str, str]] = {
    kind: {_joined(alias): name for name, aliases in names.items() for alias in aliases.split(", ")}
    for kind, names in WRITTEN.items()
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
