"""Panels about rows: their scores, p-values and anomalies, and whether answers hold."""

from __future__ import annotations

from deploy.grafana.asked import M, R, share
from deploy.grafana.panels import Panel, Query, bars, dashed, heatmap, lines

SCORES = '__name__=~"logdet_(log_prob|score)_bucket"'
# Comparisons have the versions of both.
C = 'job="$job",model=~"$model"'
DENSITY = (
    Panel(
        "Scores over time",
        "Log-densities, or what stands for them, between the quantiles of the calibration rows. "
        "Choose one model and version.",
        (
            Query(
                f"sum by (le) (increase({{{SCORES},{M}}}[{R}]))",
                "{{le}}",
                "heatmap",
            ),
        ),
        heatmap("short"),
    ),
    Panel(
        "Scores against the calibration rows",
        "Solid: of rows of now; broken: of the calibration rows. The lines of one quantile should "
        "lie on each other. Below the lowest quantile there is no telling how far.",
        (
            *(
                Query(
                    f"histogram_quantile({q}, sum by (le, model, version) "
                    f"(rate({{{SCORES},{M}}}[{R}])))",
                    f"{{{{model}}}}/{{{{version}}}} {q}",
                )
                for q in (0.05, 0.5, 0.95)
            ),
            Query(
                "max by (model, version, quantile) "
                f'(logdet_calibration_score{{{M},quantile=~"0.05|0.5|0.95"}})',
                "{{model}}/{{version}} {{quantile}} calibration",
            ),
        ),
        dashed(lines("short"), ".*calibration"),
    ),
    Panel(
        "p-values of the time range",
        "Rows by p-value. From 0.1 on buckets are equally wide, and equally high for rows like "
        "the calibration rows.",
        (
            Query(
                f"sum by (le) (increase(logdet_p_value_bucket{{{M}}}[$__range]))",
                "{{le}}",
                "heatmap",
                is_instant=True,
            ),
        ),
        bars("short"),
    ),
    Panel(
        "Anomalies against alpha",
        "Share of rows with a p-value of at most alpha; broken: alpha itself, which is to be "
        "expected.",
        (
            *(
                Query(
                    share(
                        f'logdet_p_value_bucket{{{M},le="{alpha}"}}',
                        f"logdet_p_value_count{{{M}}}",
                        "model, version",
                    ),
                    f"{{{{model}}}}/{{{{version}}}} at {alpha}",
                )
                for alpha in (0.01, 0.05)
            ),
            Query("vector(0.01)", "alpha 0.01"),
            Query("vector(0.05)", "alpha 0.05"),
        ),
        dashed(lines("percentunit"), "alpha .*"),
    ),
    Panel(
        "Rows by status",
        "ok, and why others have no answer: the caller's value, or the model (not_converged).",
        (
            Query(
                f"sum by (status) (rate(logdet_row_status_total{{{M}}}[{R}]))",
                "{{status}}",
            ),
        ),
        lines("short"),
    ),
    Panel(
        "p-values over time",
        "The lowest bands are what is acted on.",
        (
            Query(
                f"sum by (le) (increase(logdet_p_value_bucket{{{M}}}[{R}]))",
                "{{le}}",
                "heatmap",
            ),
        ),
        heatmap("short"),
    ),
)
TRUST = (
    Panel(
        "Drift of scores",
        "-0.5 where all rows score lower than the calibration rows, 0 as it should be, by length "
        "of the window.",
        (
            Query(
                f"min by (model, version, window) (logdet_drift_score_shift{{{M}}})",
                "{{model}}/{{version}} {{window}}",
            ),
        ),
        lines("short"),
    ),
    Panel(
        "Drift that is no chance",
        "1 while a replica sees rows unlike the calibration rows; /v1/models/NAME/drift says how.",
        (
            Query(
                f"max by (model, version) (logdet_drift_alarm{{{M}}})",
                "{{model}}/{{version}}",
            ),
        ),
        lines("short", 1),
    ),
    Panel(
        "Self-checks",
        "Answers held against float64 and sent back through decode. None may be beyond_bound.",
        (
            Query(
                f"sum by (result) (increase(logdet_self_checks_total{{{M}}}[1h]))",
                "{{result}}",
            ),
        ),
        lines("short"),
    ),
)
COMPARED = (
    Panel(
        "Disagreement with the challenger",
        "Of the rows that both decided about in an hour, those of which one says anomaly and the "
        "other does not.",
        (
            Query(
                "sum by (model, champion, challenger) "
                f'(increase(logdet_compared_rows_total{{{C},outcome=~"champion_only|challenger_only"}}[1h]))'
                " / sum by (model, champion, challenger) "
                f'(increase(logdet_compared_rows_total{{{C},outcome!="unanswered"}}[1h]))',
                "{{model}} {{champion}}:{{challenger}}",
            ),
        ),
        lines("percentunit"),
    ),
    Panel(
        "p-values apart",
        "How far those of champion and challenger are from each other.",
        (
            Query(
                f"sum by (le) (increase(logdet_compared_p_value_difference_bucket{{{C}}}[{R}]))",
                "{{le}}",
                "heatmap",
            ),
        ),
        heatmap("short"),
    ),
    Panel(
        "Gain of the challenger",
        "Mean of its log-density less the champion's since the start, nats: above 0, it finds "
        "the rows of now likelier.",
        (
            Query(
                f"avg by (model, champion, challenger) (logdet_compared_log_prob_gain{{{C}}})",
                "{{model}} {{champion}}:{{challenger}}",
            ),
        ),
        lines("short"),
    ),
)
