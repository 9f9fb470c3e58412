"""The annotators' page: read a text, label it under the codebook, settle differences, see how the work goes.

Knows the label store and the codebook; how texts are read and what a model finds in them is given to it.
"""

from __future__ import annotations

from labels.page.app import create_app
from labels.page.desk import Desk, Evidence, TextUnavailable

__all__ = ["Desk", "Evidence", "TextUnavailable", "create_app"]
