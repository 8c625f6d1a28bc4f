"""What the paper's figures show: which column of the records an axis is, which series a legend's words name."""

from lth_utils.paper import NETWORK_LABELS

PAPER_METRICS = {  # axis label of the plots over P_m -> column of the records
    "Early-Stop Iteration (Val.)": "early_stop_iteration",
    "Accuracy at Early-Stop (Test)": "test_accuracy_at_early_stop",
    "Accuracy at Early-Stop (Train)": "train_accuracy_at_early_stop",
    "Accuracy at Early-Stop (Val.)": "validation_accuracy_at_early_stop",
    "Accuracy at Iteration 50K (Test)": "test_accuracy_at_end",
    "Accuracy at Iteration 50000 (Train)": "train_accuracy_at_end",
    "Accuracy at Iteration 20/25/30K (Test)": "test_accuracy_at_end",
    "Accuracy at Iteration 20/25/30K (Train)": "train_accuracy_at_end",
    "Test Accuracy at Final Iteration": "test_accuracy_at_end",
}


def paper_series(figure: str, title: str, series: str) -> dict[str, str]:
    """network, variant, arm and procedure of a series, from the figure's number, a panel's title and its legend."""
    name = f"{title} {series}".lower()
    network = next((key for key, label in NETWORK_LABELS.items() if label.lower() in name), "lenet")
    arm = "random_reinit" if "reinit" in name else "random_sparsity" if "random" in name else "winning_ticket"
    procedure = "one_shot" if "oneshot" in name else "continued" if "continued" in name else "iterative"
    variant = "conv_rate_10" if str(figure) == "1" and network == "conv6" else ""
    return {
        "network": network,
        "variant": "dropout" if "dropout" in name else variant,
        "arm": arm,
        "procedure": procedure,
    }
