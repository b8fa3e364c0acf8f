"""Scores, intervals, tables, plots and one HTML page from the records of a run."""

from rlem.evidence.intervals import Interval, PairedDifference, mean_interval, paired_difference
from rlem.reports.console import print_summary, summary_table
from rlem.reports.report import ReportPaths, write_report
from rlem.reports.schema import Difference, Score, Summary
from rlem.reports.summary import summarise, write_summary

__all__ = [
    "Difference",
    "Interval",
    "PairedDifference",
    "ReportPaths",
    "Score",
    "Summary",
    "mean_interval",
    "paired_difference",
    "print_summary",
    "summarise",
    "summary_table",
    "write_report",
    "write_summary",
]
