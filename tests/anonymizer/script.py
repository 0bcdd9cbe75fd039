"""Random bytes as a test wants them."""


class Script:
    """A byte source that gives what it was told and notes how much was asked."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.asked: list[int] = []

    def __call__(self, count: int) -> bytes:
        self.asked.append(count)
        answer = self._answers.pop(0)
        assert len(answer) == count
        return answer
