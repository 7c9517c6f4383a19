import unittest

import made_up
from guard import error_of_median
from script_test_case import ScriptTestCase

SLOW = made_up.TABLE[7]


class GuardTest(ScriptTestCase):
    def guard(self, old, new, *options):
        old, new = ([one] if isinstance(one, dict) else one for one in (old, new))
        return self.run_script(
            "guard.py",
            made_up.write(self.folder, "old.json", *old),
            made_up.write(self.folder, "new.json", *new),
            *options,
        )

    def test_the_same_twice_is_no_drop(self):
        out = self.expect_done(self.guard(made_up.sweep(0.01), made_up.sweep(0.01)))
        self.assertIn("40 figures, 0 slower beyond noise", out)
        self.assertIn("differ by 0.00 %", out)

    def test_a_drop_within_the_noise_passes_and_the_same_drop_without_noise_fails(self):
        def slower(key):
            return 1.02 if key == SLOW else 1.0

        self.expect_done(self.guard(made_up.sweep(0.05), made_up.sweep(0.05, seed=1, slower=slower)))
        out = self.expect_done(self.guard(made_up.sweep(0.001), made_up.sweep(0.001, seed=1, slower=slower)), 3)
        self.assertIn("2 slower beyond noise", out)
        self.assertEqual(out.count("SLOWER"), 2)
        self.assertIn("gpt_350m, batch 16, 128,20: latency", out)
        self.assertIn("gpt_350m, batch 16, 128,20: first token", out)

    def test_a_drop_beyond_the_noise_fails(self):
        out = self.expect_done(self.guard(made_up.sweep(0.02), made_up.sweep(0.02, seed=1, slower=1.2)), 3)
        self.assertIn("40 slower", out)

    def test_faster_is_no_drop(self):
        self.expect_done(self.guard(made_up.sweep(0.001), made_up.sweep(0.001, slower=0.5)))

    def test_other_seeds_of_the_same_speed_pass(self):
        for seed in range(1, 6):
            self.expect_done(self.guard(made_up.sweep(0.01), made_up.sweep(0.01, seed=seed)))

    def test_what_sweeps_differ_by_is_noise_too(self):
        old = [made_up.sweep(0.001, seed=seed, slower=slower) for seed, slower in enumerate((1.0, 1.06))]
        new = made_up.sweep(0.001, seed=9, slower=1.07)
        self.expect_done(self.guard(old[0], new), 3)
        self.expect_done(self.guard(old, new))

    def test_the_noise_of_a_cell_is_its_own_where_sweeps_tell(self):
        def sweeps(noisy, seed, slow=1.0):
            def slower(factor):
                return lambda key: factor if key == noisy else slow if key == SLOW else 1.0

            return [made_up.sweep(0.001, seed=seed + i, slower=slower(f)) for i, f in enumerate((1.0, 1.2, 1.0, 1.2))]

        noisy = made_up.TABLE[3]
        old = sweeps(noisy, 0)
        self.expect_done(self.guard(old, [*sweeps(noisy, 10)[1:], sweeps(noisy, 20)[1]]))  # by chance mostly slow
        # A quiet cell is held to the noise over all cells, not to that one's.
        out = self.expect_done(self.guard(old, sweeps(noisy, 10, slow=1.1)), 3)
        self.assertIn("gpt_350m, batch 16, 128,20: latency", out)
        self.assertNotIn(f"batch {noisy[0]}, {noisy[1]},{noisy[2]}: latency", out)

    def test_less_than_the_least_passes_without_any_noise(self):
        self.expect_done(self.guard(made_up.sweep(), made_up.sweep(slower=1.008)))
        self.expect_done(self.guard(made_up.sweep(), made_up.sweep(slower=1.008), "--least-percent", "0.5"), 3)

    def test_missing_cells_are_named(self):
        new = made_up.sweep()
        del new["cells"][3]
        self.expect_error(self.guard(made_up.sweep(), new), "cells missing", "batch 32, 64,20")
        new["cells"].append({"batch_size": 32, "input_len": 64, "output_len": 20, "skipped": "5 bytes missing"})
        self.expect_error(self.guard(made_up.sweep(), new), "cells missing", "skipped: 5 bytes missing")
        self.expect_done(self.guard(new, made_up.sweep()))

    def test_another_gpu_or_other_settings_are_no_comparison(self):
        a10 = {**made_up.H200, "name": "NVIDIA A10"}
        self.expect_error(self.guard(made_up.sweep(), made_up.sweep(gpu=a10)), "NVIDIA H200 before, NVIDIA A10 now")
        self.expect_error(
            self.guard(made_up.sweep(), made_up.sweep(check_interval=4)), "check_interval: 1 before, 4 now"
        )
        self.expect_error(self.guard(made_up.sweep(), made_up.sweep(dtype="bfloat16")), "dtype: float16 before")
        self.expect_error(self.guard(made_up.sweep(), made_up.sweep(model="llama_7b")), "gpt_350m: missing")

    def test_two_runs_say_nothing_about_noise(self):
        few = made_up.document([made_up.cell(SLOW, runs=2)])
        self.expect_error(self.guard(few, few), "2 runs", "at least 3")

    def test_a_peer_without_first_tokens_is_compared_by_latency(self):
        cell = made_up.cell(SLOW)
        del cell["first_tokens_ms"]
        self.assertIn("1 figures", self.expect_done(self.guard(made_up.document([cell]), made_up.document([cell]))))

    def test_bad_options_are_usage_errors(self):
        same = made_up.sweep()
        self.expect_error(self.guard(same, same, "--sigmas", "0"), "--sigmas", code=2)
        self.expect_error(self.guard(same, same, "--sigmas", "x"), "--sigmas", code=2)
        self.expect_error(self.run_script("guard.py", "only.json"), "NEW.json", code=2)
        self.expect_error(self.run_script("guard.py", "no.json", "no.json"), "no.json", "No such file")

    def test_the_error_of_a_median_does_not_follow_one_disturbed_run(self):
        calm = [10.0, 10.1, 9.9, 10.05, 9.95]
        self.assertLess(error_of_median([*calm[:4], 50.0]), 0.2)
        self.assertEqual(error_of_median([10.0] * 5), 0)
        self.assertGreater(error_of_median([10.0, 10.0, 10.0, 11.0]), 0)


if __name__ == "__main__":
    unittest.main()
