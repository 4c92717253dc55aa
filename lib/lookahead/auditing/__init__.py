"""The cheat-meter: does next-token training on a data set teach to plan, or invite to cheat?"""

from lookahead.auditing.checkpoint import audit_checkpoint
from lookahead.auditing.meter import audit
from lookahead.auditing.report import Audit

__all__ = ["Audit", "audit", "audit_checkpoint"]
