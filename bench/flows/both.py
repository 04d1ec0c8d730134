"""A hundred tasks side by side and twenty steps in a row, none of which does anything; a peer runs the same file."""

from flowinfra import FlowSpec, step


class Both(FlowSpec):
    @step
    def start(self):
        self.items = list(range(100))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.value = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(task.value for task in inputs)
        self.value = 0
        self.next(self.s01)

    @step
    def s01(self):
        self.value += 1
        self.next(self.s02)

    @step
    def s02(self):
        self.value += 1
        self.next(self.s03)

    @step
    def s03(self):
        self.value += 1
        self.next(self.s04)

    @step
    def s04(self):
        self.value += 1
        self.next(self.s05)

    @step
    def s05(self):
        self.value += 1
        self.next(self.s06)

    @step
    def s06(self):
        self.value += 1
        self.next(self.s07)

    @step
    def s07(self):
        self.value += 1
        self.next(self.s08)

    @step
    def s08(self):
        self.value += 1
        self.next(self.s09)

    @step
    def s09(self):
        self.value += 1
        self.next(self.s10)

    @step
    def s10(self):
        self.value += 1
        self.next(self.s11)

    @step
    def s11(self):
        self.value += 1
        self.next(self.s12)

    @step
    def s12(self):
        self.value += 1
        self.next(self.s13)

    @step
    def s13(self):
        self.value += 1
        self.next(self.s14)

    @step
    def s14(self):
        self.value += 1
        self.next(self.s15)

    @step
    def s15(self):
        self.value += 1
        self.next(self.s16)

    @step
    def s16(self):
        self.value += 1
        self.next(self.s17)

    @step
    def s17(self):
        self.value += 1
        self.next(self.s18)

    @step
    def s18(self):
        self.value += 1
        self.next(self.s19)

    @step
    def s19(self):
        self.value += 1
        self.next(self.end)

    @step
    def end(self):
        self.value += 1


if __name__ == "__main__":
    Both()
