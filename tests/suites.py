"""The work of tests/run once everything is installed: builds, suites, counts."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD_ROOT = pathlib.Path(os.environ.get("PGSPLICE_BUILD_ROOT", ROOT / "build")).absolute()
PYTHON = "/usr/bin/python3"

# Sanitizers make gcc see uninitialised variables where there are none.
INSTRUMENTED = ["--buildtype=debug", "-Doptimization=1",
                "-Dc_args=-Wno-error=maybe-uninitialized"]

# How each build is configured, and which of meson's suites it runs.
BUILDS = {
    "release": (["--buildtype=release"], ["unit", "loop", "threads", "fuzz"]),
    "sanitize": ([*INSTRUMENTED, "-Db_sanitize=address,undefined"], ["unit", "loop", "fuzz"]),
    "thread": ([*INSTRUMENTED, "-Db_sanitize=thread"], ["threads"]),
}
FUZZ_OPTIONS = ["--buildtype=debugoptimized", "-Dfuzz=true", "-Db_lundef=false"]
FUZZ_SECONDS = 60

INTEGRATION = "tests/integration"
# Modules whose tests wait more than they compute, and whose promises leave room for what
# others do meanwhile. Those of one lane run one after another, the lanes side by side. What
# is not named here runs afterwards, alone: what measures, fills the machine, or is new.
LANES = [
    ["test_stores", "test_consul", "test_consul_liar", "test_consul_cluster", "test_listening",
     "test_addresses", "test_fly", "test_command_line", "test_readme"],
    ["test_etcd", "test_etcd_accounts", "test_etcd_cluster", "test_etcd_liar",
     "test_etcd_outage", "test_etcd_replaced", "test_store_tree"],
    ["test_names", "test_names_misbehaving", "test_names_served", "test_tls",
     "test_vanished_host", "test_direct_cancel", "test_direct_choice", "test_direct_listening",
     "test_direct_names", "test_direct_roles"],
]
LANE_LIMIT_S = 400
INTEGRATION_LIMIT_S = {False: 1200, True: 5400}  # with its lanes
SOAK_S = {False: 30, True: 600}  # for each way to move bytes
OTHER_LIMIT_S = {False: 300, True: 3600}

total = {"passed": 0, "failed": 0, "skipped": 0}


def environment(**more):
    env = dict(os.environ, LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1", **more)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1")
    env.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    env.setdefault("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1")
    return env


def run(command, limit_s=600, env=None):
    """Runs a command; returns its status and what it wrote. At the limit it and
    what it has started are ended, by TERM first."""
    process = subprocess.Popen([str(c) for c in command], cwd=ROOT, env=env or environment(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=limit_s)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            out, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, _ = process.communicate()
        out += f"\nended: it took more than {limit_s} s\n".encode()
        status = -1
    return status, out.decode("utf-8", "replace")


def report(suite, passed, failed, skipped, began, output="", ended=None):
    total["passed"] += passed
    total["failed"] += failed
    total["skipped"] += skipped
    word = "FAILED" if failed else "ok"
    print(f"{word}: {suite}: {passed} passed, {failed} failed, {skipped} skipped "
          f"({(ended or time.monotonic()) - began:.1f} s)", flush=True)
    if failed and output:
        print("\n".join("  | " + line for line in output.splitlines()[-400:]), flush=True)


def build(name, options, env=None):
    """Configures (or reuses) and builds; False, and one failure, if it cannot."""
    began = time.monotonic()
    folder = BUILD_ROOT / name
    options = options + [f"-Dwerror={'true' if os.environ.get('CI') else 'false'}"]
    status, output = 1, ""
    if (folder / "build.ninja").exists():
        status, output = run(["meson", "configure", folder, *[
            o.replace("--buildtype=", "-Dbuildtype=") for o in options]])
        if status == 0:
            status, output = run(["ninja", "-C", folder], 900)
    if status != 0 and not (folder / "build.ninja").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        status, output = run(["meson", "setup", folder, ROOT, *options], env=env)
        if status == 0:
            status, output = run(["ninja", "-C", folder], 900)
    if status != 0:
        report(f"build {name}", 0, 1, 0, began, output)
        return False
    print(f"built: {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def known_suites(name):
    status, output = run(["meson", "introspect", "--tests", BUILD_ROOT / name])
    if status != 0:
        return set()
    return {s.split(":")[-1] for test in json.loads(output) for s in test["suite"]}


def count_program(test):
    """The single tests of a cmocka program, or the program as one."""
    text = test.get("stdout", "") + test.get("stderr", "")
    passed = len(re.findall(r"^\[ +OK +\] ", text, re.M))
    failed = sum(int(n) for n in re.findall(r"^\[  FAILED  \] (\d+) test\(s\)", text, re.M))
    skipped = len(re.findall(r"^\[  SKIPPED \] \w+$", text, re.M))
    good = test["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
    if good and test["result"] == "SKIP":
        return 0, 0, 1
    if not good and failed == 0:
        failed = 1  # crashed, a sanitizer's finding, or out of time
    if good and passed + failed + skipped == 0:
        passed = 1
    return passed, failed, skipped


def run_meson_suite(name, suite):
    began = time.monotonic()
    log = BUILD_ROOT / name / "meson-logs" / f"{suite}.json"
    log.unlink(missing_ok=True)
    status, output = run(["meson", "test", "-C", BUILD_ROOT / name, "--no-rebuild", "--suite",
                          suite, "--logbase", suite, "--timeout-multiplier", "3"], 900)
    passed = failed = skipped = 0
    texts = []
    for line in log.read_text().splitlines() if log.exists() else []:
        test = json.loads(line)
        counts = count_program(test)
        passed, failed, skipped = (passed + counts[0], failed + counts[1], skipped + counts[2])
        if counts[1]:
            texts.append(f"{test['name']}: {test['result']}\n" + test.get("stdout", "") +
                         test.get("stderr", ""))
    if status != 0 and failed == 0:
        failed = 1
        texts.append(output)
    report(f"{suite} ({name})", passed, failed, skipped, began, "\n".join(texts))


def run_meson_suites(name, suites):
    known = known_suites(name)
    for suite in suites:
        if suite in known:
            run_meson_suite(name, suite)


def run_script(suite, command, limit_s, env=None):
    """A suite of its own, whose last line has the counts; else it is one test."""
    began = time.monotonic()
    status, output = run(command, limit_s, env)
    last = output.rstrip().rsplit("\n", 1)[-1]
    match = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", last)
    passed, failed, skipped = map(int, match.groups()) if match else (int(status == 0), 0, 0)
    if status != 0 and failed == 0:
        failed = 1
    report(suite, passed, failed, skipped, began, output)
    if not failed:
        for line in output.splitlines():
            if line.startswith(("warning:", "skipped:")):
                print(f"  {line}")


def pytest_suite(suite, build_name, paths, limit_s, options=(), **env):
    """Runs it; returns what report() is to be told."""
    began = time.monotonic()
    junit = BUILD_ROOT / f"{suite}.xml"
    junit.unlink(missing_ok=True)
    command = [PYTHON, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider", "--junitxml", junit,
               *[ROOT / path for path in paths], *options]
    program = BUILD_ROOT / build_name / "src/pgsplice"
    status, output = run(command, limit_s, environment(PGSPLICE_BIN=str(program), **env))
    passed = failed = skipped = 0
    if junit.exists():
        for found in xml.etree.ElementTree.parse(junit).getroot().iter("testsuite"):
            bad = int(found.get("failures")) + int(found.get("errors"))
            failed += bad
            skipped += int(found.get("skipped"))
            passed += max(0, int(found.get("tests")) - bad - int(found.get("skipped")))
    if status not in (0, 5) and failed == 0:  # 5: there are no tests
        failed = 1
    return suite, passed, failed, skipped, began, output, time.monotonic()


def run_integration(full):
    """The lanes side by side, then all other modules alone. In full, all are alone."""
    selected = [] if full else ["-m", "not full"]
    lanes = [] if full or len(os.sched_getaffinity(0)) < 2 else LANES
    paths = [[f"{INTEGRATION}/{module}.py" for module in lane] for lane in lanes]
    with concurrent.futures.ThreadPoolExecutor(len(LANES)) as pool:
        running = [pool.submit(pytest_suite, f"integration-{number}", "release", lane,
                               LANE_LIMIT_S, selected)
                   for number, lane in enumerate(paths, 1)]
        for done in concurrent.futures.as_completed(running):
            report(*done.result())
    others = [f"--ignore={ROOT / path}" for lane in paths for path in lane]
    limit_s = INTEGRATION_LIMIT_S[full] - (LANE_LIMIT_S if lanes else 0)
    report(*pytest_suite("integration", "release", [INTEGRATION], limit_s, [*selected, *others]))


def run_soak(full):
    """Of the build with the sanitizers; integration does it for the release build."""
    seconds = SOAK_S[full]
    report(*pytest_suite("soak", "sanitize", [f"{INTEGRATION}/test_soak.py"], 2 * seconds + 300,
                         PGSPLICE_SOAK_S=str(seconds), PGSPLICE_SOAK_SANITIZED="1"))


def run_fuzzers():
    if not build("fuzz", FUZZ_OPTIONS, environment(CC="clang")):
        return
    for program in sorted((BUILD_ROOT / "fuzz/tests/fuzz").glob("fuzz_*")):
        if not program.is_file():
            continue
        began = time.monotonic()
        target = program.name[len("fuzz_"):]
        found = BUILD_ROOT / "fuzz" / "found" / target
        found.mkdir(parents=True, exist_ok=True)
        status, output = run([program, f"-max_total_time={FUZZ_SECONDS}", "-timeout=10",
                              f"-artifact_prefix={found}/", found,
                              ROOT / "tests/fuzz/corpus" / target], FUZZ_SECONDS + 60)
        report(f"fuzzing {target}", int(status == 0), int(status != 0), 0, began, output)


def run_all(full):
    run_script("lint", [ROOT / "tests/lint"], 120)
    if not build("release", BUILDS["release"][0]):
        return
    run_meson_suites("release", BUILDS["release"][1])
    run_integration(full)
    for name in ("sanitize", "thread"):
        if build(name, BUILDS[name][0]):
            run_meson_suites(name, BUILDS[name][1])
            if name == "sanitize":
                run_soak(full)
    if not full:
        return
    mutation = ROOT / "tests/mutation"
    if mutation.is_dir():
        mutation = mutation / "run"
    if mutation.exists():
        run_script("mutation", [mutation], OTHER_LIMIT_S[full])
    run_fuzzers()
    run_script("bench/failover", [PYTHON, ROOT / "bench/failover", "--rounds=1", "--sessions=200",
                                  f"--binary={BUILD_ROOT / 'release/src/pgsplice'}"],
               OTHER_LIMIT_S[full])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    full = parser.parse_args().full
    began = time.monotonic()
    BUILD_ROOT.mkdir(parents=True, exist_ok=True)
    try:
        run_all(full)
    except Exception as error:  # pylint: disable=broad-except
        total["failed"] += 1
        print(f"FAILED: the runner itself: {error!r}")
    print(f"all suites took {time.monotonic() - began:.0f} s")
    print(", ".join(f"{count} {word}" for word, count in total.items()), flush=True)
    return 1 if total["failed"] else 0


sys.exit(main())
