//! README.md → its commands run, so that they stay true.
//!
//! The `sh` blocks under "## Try it" are one script, run by `bash -euo pipefail` in a fresh copy of
//! the repository with the program first in `PATH`. Two rules on its lines: those that fetch or
//! build the program are left out ([`BUILDS`]), since it is built already; and a line that ends in
//! `# exit N` (with or without words after it) must exit with N, where any other must exit with 0.

mod support;

use std::fs;

use support::{command, copy_folder, root, run};

/// How the lines begin that fetch or build the program.
const BUILDS: &[&str] = &["cargo build", "cargo install", "git clone", "cd wsidx"];

/// The `sh` blocks between the heading `## title` and the next one of its level, one string each.
fn blocks(readme: &str, title: &str) -> Vec<String> {
    let (mut found, mut here, mut fence) = (Vec::<String>::new(), false, None);
    for line in readme.lines() {
        match (fence, line.trim_end()) {
            (None, line) if line.starts_with("# ") || line.starts_with("## ") => {
                here = line.strip_prefix("## ") == Some(title);
            }
            (None, line) if line.starts_with("```") => {
                fence = Some(here && line == "```sh");
                if fence == Some(true) {
                    found.push(String::new());
                }
            }
            (Some(_), "```") => fence = None,
            (Some(true), _) => found
                .last_mut()
                .expect("a block is open")
                .extend([line, "\n"]),
            _ => {}
        }
    }
    found
}

/// The script that the lines of a README make.
fn script(text: &str) -> String {
    let runs = |line: &&str| {
        !BUILDS
            .iter()
            .any(|start| line.trim_start().starts_with(start))
    };
    text.lines()
        .filter(runs)
        .map(|line| expecting(line) + "\n")
        .collect()
}

/// A line as it is, or with its `# exit N` made a condition.
fn expecting(line: &str) -> String {
    let Some((command, words)) = line.split_once("# exit ") else {
        return line.to_owned();
    };
    let status = words
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    assert!(
        !status.is_empty(),
        "no status after `# exit ` in README.md: {line}"
    );
    format!(
        "status=0; {{ {}; }} || status=$?; test $status -eq {status}",
        command.trim_end()
    )
}

/// The one command of a script that otherwise has only comments and lines that begin with `set ` or
/// `cd `.
fn only_command(script: &str) -> &str {
    let idle = |line: &&str| {
        line.is_empty()
            || ["#", "set ", "cd "]
                .iter()
                .any(|start| line.starts_with(start))
    };
    let commands: Vec<&str> = script
        .lines()
        .map(str::trim)
        .filter(|line| !idle(line))
        .collect();
    assert_eq!(commands.len(), 1, "one command was expected: {commands:?}");
    commands[0]
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("README.md can be read")
}

#[test]
fn the_commands_under_try_it_work() {
    let found = blocks(&readme(), "Try it");
    assert!(
        !found.is_empty(),
        "README.md has no sh block under \"## Try it\""
    );
    let script = script(&found.concat());
    assert!(
        script.contains("wsidx "),
        "README.md never calls the program under \"## Try it\""
    );
    let copy = tempfile::tempdir().unwrap();
    let folder = copy.path().join("wsidx");
    copy_folder(root(), &folder, &["target", ".git", ".venv", ".wsidx"]);
    let mut bash = command("bash", &folder);
    bash.args(["-euo", "pipefail", "-x", "-c", &script]);
    run(bash).expect(0);
}

#[test]
fn the_command_under_test_it_is_what_continuous_integration_runs() {
    let found = blocks(&readme(), "Test it");
    assert_eq!(
        found.len(),
        1,
        "README.md has one sh block under \"## Test it\""
    );
    let called = fs::read_to_string(root().join(".ci/run")).expect(".ci/run can be read");
    assert_eq!(
        found[0].trim_end(),
        only_command(&called),
        "README.md, \"## Test it\" and .ci/run"
    );
}

#[test]
fn blocks_are_found_under_their_heading_only_and_of_their_language_only() {
    let text = "# T\n```sh\nno\n```\n## Try it\nx\n```sh\na # b\n## c\n```\n### Deeper\n```text\nno\n```\n``` sh\nno\n```\n```sh\nd\n```\n## Next\n```sh\nno\n```\n";
    assert_eq!(blocks(text, "Try it"), ["a # b\n## c\n", "d\n"]);
    assert!(blocks(text, "Missing").is_empty());
}

#[test]
fn lines_that_build_are_left_out_and_lines_that_must_fail_are_made_conditions() {
    let text = "git clone x\ncd wsidx\ncargo build --release\nwsidx sync\nwsidx check new  # exit 1: findings\n";
    assert_eq!(
        script(text),
        "wsidx sync\nstatus=0; { wsidx check new; } || status=$?; test $status -eq 1\n"
    );
}

fn bash(script: &str) -> support::Run {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bash = command("bash", folder.path());
    bash.args(["-euo", "pipefail", "-c", script]);
    run(bash)
}

#[test]
fn a_line_that_exits_otherwise_than_it_says_fails_the_script() {
    bash(&script(
        "true\nfalse # exit 1\n(exit 3) # exit 3, as said\n",
    ))
    .expect(0);
    for wrong in [
        "false\n",
        "true # exit 1\n",
        "(exit 2) # exit 1\n",
        "false | true\n",
    ] {
        assert_ne!(
            bash(&script(&format!("{wrong}true\n"))).status,
            Some(0),
            "{wrong}"
        );
    }
}

#[test]
fn the_environment_of_the_tests_does_not_reach_the_program() {
    let run =
        bash("env | cut -d= -f1 | grep -E '^(WSIDX_|NO_COLOR|CLICOLOR|CARGO|XDG_DATA|GIT_DIR)' || true; echo $HOME; command -v wsidx")
            .expect(0);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(!lines[0].is_empty() && Some(lines[0]) != std::env::var("HOME").ok().as_deref());
    assert_eq!(lines[1], support::PROGRAM);
}

#[test]
fn the_only_command_of_a_script_is_found() {
    assert_eq!(
        only_command("#!/bin/sh\n# x\nset -eu\ncd ..\n\nbash tests/run.sh\n"),
        "bash tests/run.sh"
    );
}

#[test]
#[should_panic(expected = "one command was expected")]
fn a_script_of_two_commands_is_refused() {
    only_command("a\nb\n");
}
