"""How a model is taught and how it answers: one file a method."""

from lookahead.objectives.hints import Hints
from lookahead.objectives.reversed import Reversed
from lookahead.objectives.teacher_forcing import TeacherForcing
from lookahead.objectives.teacherless import Teacherless

__all__ = ["Hints", "Reversed", "TeacherForcing", "Teacherless"]
