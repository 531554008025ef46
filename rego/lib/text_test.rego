package bondgate.lib.text_test

import data.bondgate.lib.text

test_a_star_crosses_everything if text.matches_any(["docker.io/*"], "docker.io/library/debian:12.1")

test_the_whole_text_has_to_match if not text.matches_any(["debian"], "debian:12")

test_no_pattern_matches_nothing if not text.matches_any([], "debian")
