"""Schedules of published runs: language models. Where numbers are only commonly quoted, the row says so."""

from __future__ import annotations

from math import sqrt

from gallery.formulas import half_cosine, pieces, some
from gallery.rows import Formula, Peer, Strategy, Variant

LANGUAGE_MODELS = (
    Strategy(
        "gpt-3",
        "GPT-3 175B",
        "Warm-up over 375 million tokens, cosine to a tenth over 260 billion, then constant; batches of 3.2 million "
        "tokens. Brown et al. 2020, https://arxiv.org/abs/2005.14165",
        (
            Variant(
                "warmup(375Mtok) >> cosine(until=260Btok, to=0.1x) >> hold(until=300Btok)",
                (
                    Formula(
                        pieces(
                            (117, lambda t: 0.6e-4 * t / 117),
                            (81250, lambda t: half_cosine(t / (81250 - 117), 0.6e-4, 0.6e-5)),
                            (93750, lambda t: 0.6e-5),
                        ),
                        some(95000),
                    ),
                ),
                base=0.6e-4,
                context={"tokens_per_step": 3.2e6},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "llama-3-405b",
        "Llama 3 405B",
        "8,000 steps of warm-up, cosine to 8e-7 until step 1.2 million, and linearly to 0 over the last 40 million "
        "tokens. Grattafiori et al. 2024, https://arxiv.org/abs/2407.21783",
        (
            Variant(
                "warmup(8000) >> cosine(until=1.2M, to=8e-7) >> linear(40Mtok)",
                (
                    Formula(
                        pieces(
                            (8000, lambda t: 8e-5 * t / 8000),
                            (1_200_000, lambda t: half_cosine(t / 1_192_000, 8e-5, 8e-7)),
                            (1_200_003, lambda t: 8e-7 * (3 - t) / 3),
                        ),
                        [*some(1_199_999), 1_200_000, 1_200_001, 1_200_002, 1_200_003, 1_300_000],
                    ),
                ),
                base=8e-5,
                context={"tokens_per_step": 16e6},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "llama-2-7b",
        "Llama 2 7B",
        "2,000 steps of warm-up, cosine to a tenth; 2 trillion tokens at 4 million a step. Touvron et al. 2023, "
        "https://arxiv.org/abs/2307.09288",
        (
            Variant(
                "warmup(2000) >> cosine(rest, to=0.1x)",
                (
                    Formula(
                        pieces(
                            (2000, lambda t: 3e-4 * t / 2000), (500_000, lambda t: half_cosine(t / 498_000, 3e-4, 3e-5))
                        ),
                        some(510_000),
                    ),
                    Peer(
                        "transformers.get_cosine_with_min_lr_schedule_with_warmup(optimizer, 2000, 500000, "
                        "min_lr_rate=0.1)",
                        2200,
                    ),
                ),
                base=3e-4,
                context={"total_steps": 500_000},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "chinchilla-70b",
        "Chinchilla 70B",
        "A cosine to a tenth that is exactly as long as the run, 1.4 trillion tokens. Hoffmann et al. 2022, "
        "https://arxiv.org/abs/2203.15556",
        (
            Variant(
                "cosine(total, to=0.1x)",
                (Formula(lambda t: half_cosine(min(t / 466_667, 1), 1e-4, 1e-5), some(500_000)),),
                base=1e-4,
                context={"total_steps": 466_667, "tokens_per_step": 3e6},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "deepseek-v3",
        "DeepSeek-V3",
        "2,000 steps of warm-up, constant until 10 trillion tokens, cosine to a tenth over 4.3 trillion, then two "
        "constants; batches of 15,360 sequences of 4,096 tokens (smaller at first; drawn as constant). The lengths are "
        "the report's. DeepSeek-AI 2024, https://arxiv.org/abs/2412.19437",
        (
            Variant(
                "warmup(2000) >> hold(until=10Ttok) >> cosine(4.3Ttok, to=2.2e-5) >> hold(333Btok) >> "
                "constant(7.3e-6, 167Btok)",
                (
                    Formula(
                        pieces(
                            (2000, lambda t: 2.2e-4 * t / 2000),
                            (158_946, lambda t: 2.2e-4),
                            (227_292, lambda t: half_cosine(t / 68_346, 2.2e-4, 2.2e-5)),
                            (232_585, lambda t: 2.2e-5),
                            (235_240, lambda t: 7.3e-6),
                        ),
                        some(240_000),
                    ),
                ),
                base=2.2e-4,
                context={"tokens_per_step": 15_360 * 4096},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "deepseek-v2-lite",
        "DeepSeek-V2-Lite",
        "Warm-up, then two cuts by √0.1, at 80 and 90 % of the run: a product, so that neither length depends on the "
        "other. DeepSeek-AI 2024, https://arxiv.org/abs/2405.04434",
        (
            Variant(
                "warmup(2000) * multistep([80%, 90%], gamma=0.316)",
                (
                    Formula(
                        lambda t: 4.2e-4 * min(t / 2000, 1) * 0.316 ** ((t >= 80_000) + (t >= 90_000)), some(110_000)
                    ),
                ),
                base=4.2e-4,
                context={"total_steps": 100_000},
            ),
        ),
    ),
    Strategy(
        "kimi-k2",
        "Kimi K2",
        "500 steps of warm-up, constant for 10 trillion tokens, cosine to a tenth over 5.5 trillion, and lower still "
        "over the last 400 billion (how is not stated; drawn as a line). Kimi Team 2025, "
        "https://arxiv.org/abs/2507.20534",
        (
            Variant(
                "warmup(500) >> hold(until=10Ttok) >> cosine(5.5Ttok, to=2e-5) >> linear(400Btok, to=7e-6)",
                (
                    Formula(
                        pieces(
                            (500, lambda t: 2e-4 * t / 500),
                            (149_254, lambda t: 2e-4),
                            (231_343, lambda t: half_cosine(t / 82_089, 2e-4, 2e-5)),
                            (237_313, lambda t: 2e-5 - 1.3e-5 * t / 5970),
                        ),
                        some(240_000),
                    ),
                ),
                base=2e-4,
                context={"tokens_per_step": 67e6},
            ),
        ),
    ),
    Strategy(
        "minicpm",
        "MiniCPM",
        "Warm-up, stable, decay, the decay a halving every so many steps. Hu et al. 2024, "
        "https://arxiv.org/abs/2404.06395",
        (
            Variant(
                "warmup(1%) >> hold(89%) >> exponential(0.5, every=5000)",
                (
                    Formula(
                        lambda t: (
                            0.01 * t / 3000
                            if t < 3000
                            else 0.01
                            if t < 270_000
                            else 0.01 * 0.5 ** ((t - 270_000) / 5000)
                        ),
                        some(300_000),
                    ),
                ),
                base=0.01,
                context={"total_steps": 300_000},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "olmo-2-7b",
        "OLMo 2 7B",
        "A cosine made for 5 trillion tokens, left after 3.9, and a second stage straight to 0. OLMo Team 2024, "
        "https://arxiv.org/abs/2501.00656",
        (
            Variant(
                "let W = 8388608ktok; warmup(W) >> (cosine(5Ttok - W, to=0.1x) | take(3.9Ttok)) >> linear(50Btok)",
                (
                    Formula(
                        pieces(
                            (2000, lambda t: 3e-4 * t / 2000),
                            (931_832, lambda t: half_cosine(t / 1_190_093, 3e-4, 3e-5)),
                            (
                                943_753,
                                lambda t: half_cosine(929_832 / 1_190_093, 3e-4, 3e-5) * (11_921 - t) / 11_921,
                            ),
                        ),
                        some(950_000),
                    ),
                ),
                base=3e-4,
                context={"tokens_per_step": 4_194_304},
            ),
        ),
    ),
    Strategy(
        "olmo-7b",
        "OLMo 7B",
        "Warm-up from a tenth, a straight line to a tenth. Groeneveld et al. 2024, https://arxiv.org/abs/2402.00838",
        (
            Variant(
                "warmup(5000, from=0.1x) >> linear(rest, to=0.1x)",
                (
                    Formula(
                        pieces(
                            (5000, lambda t: 3e-5 + 27e-5 * t / 5000), (600_000, lambda t: 3e-4 - 27e-5 * t / 595_000)
                        ),
                        some(610_000),
                    ),
                ),
                base=3e-4,
                context={"total_steps": 600_000},
            ),
        ),
    ),
    Strategy(
        "pythia",
        "Pythia",
        "A hundredth of the run up, cosine to a tenth of the base; the base depends on the size, that of 12B is drawn. "
        "GPT-NeoX's annealing, with the numbers of `pythia-12b.yml`. Biderman et al. 2023, "
        "https://arxiv.org/abs/2304.01373",
        (
            Variant(
                "warmup(1%) >> cosine(rest, to=0.1x)",
                (
                    Formula(
                        pieces(
                            (1430, lambda t: 1.2e-4 * t / 1430),
                            (143_000, lambda t: half_cosine(t / 141_570, 1.2e-4, 1.2e-5)),
                        ),
                        some(143_000),
                    ),
                ),
                base=1.2e-4,
                context={"total_steps": 143_000},
            ),
        ),
    ),
    Strategy(
        "nanogpt",
        "nanoGPT, GPT-2 124M",
        "2,000 steps of warm-up counted over n + 1, cosine to a tenth at step 600,000.",
        (
            Variant(
                "(warmup(2001) | skip(1)) >> cosine(598000, to=6e-5)",
                (
                    Formula(
                        lambda t: (
                            6e-4 * (t + 1) / 2001 if t < 2000 else half_cosine(min((t - 2000) / 598_000, 1), 6e-4, 6e-5)
                        ),
                        some(610_000),
                    ),
                ),
                base=6e-4,
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "ngpt",
        "nGPT",
        "No warm-up, cosine to 0; the base is tuned. Loshchilov et al. 2024, https://arxiv.org/abs/2410.01131",
        (
            Variant(
                "cosine(total)",
                (Formula(lambda t: half_cosine(min(t / 200_000, 1), 1e-3, 0), some(210_000)),),
                base=1e-3,
                context={"total_steps": 200_000},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "t5",
        "T5",
        "1/√max(t, 10⁴): constant at first, with no warm-up at all. Raffel et al. 2020, "
        "https://arxiv.org/abs/1910.10683",
        (
            Variant(
                "expr(1 / sqrt(max(t, 10000)))",
                (Formula(lambda t: 1 / sqrt(max(t, 10_000)), some(1_000_000)),),
                base=1.0,
                until=100_000,
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "t5x",
        "t5x default",
        "`constant * linear_warmup * rsqrt_decay`: factors, so a product here too.",
        (
            Variant(
                "warmup(1000) * expr(base / sqrt(max(t, 1000)))",
                (Formula(lambda t: 0.5 * min(t / 1000, 1) / sqrt(max(t, 1000)), some(100_000)),),
                base=0.5,
                until=20_000,
            ),
        ),
    ),
    Strategy(
        "bert",
        "BERT",
        "10,000 steps up, 990,000 down to 0. Devlin et al. 2019, https://arxiv.org/abs/1810.04805",
        (
            Variant(
                "warmup(10000) >> linear(990000)",
                (
                    Formula(
                        pieces((1e4, lambda t: 1e-4 * t / 1e4), (1e6, lambda t: 1e-4 * (990_000 - t) / 990_000)),
                        some(1_000_000),
                    ),
                    Peer("transformers.get_linear_schedule_with_warmup(optimizer, 10000, 1000000)", 10_300),
                ),
                base=1e-4,
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "ulmfit",
        "ULMFiT",
        "The slanted triangle: a tenth of the run up, the rest down, from and to a thirty-second. Howard & Ruder 2018, "
        "https://arxiv.org/abs/1801.06146",
        (
            Variant(
                "linear(10%, from=base / 32, to=1x) >> linear(90%, to=base / 32)",
                (Formula(lambda t: 0.01 * (1 + min(t / 1000, (10_000 - t) / 9000) * 31) / 32, some(10_000)),),
                base=0.01,
                context={"total_steps": 10_000},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "transformer",
        "Transformer",
        "Width 512, warm-up over 4,000 steps, counted from 1. Vaswani et al. 2017, https://arxiv.org/abs/1706.03762",
        (
            Variant(
                "noam(512, warmup=4000) | skip(1)",
                (Formula(lambda t: 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 4000**-1.5), some(100_000)),),
                base=1.0,
                until=40_000,
            ),
        ),
        quoted=True,
    ),
)
