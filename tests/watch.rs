//! `wsidx watch` as a process, on a real file system: what comes gets a verdict, whatever happens
//! to files, folders and to the watch itself.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, ChildStdout, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{
    PROGRAM, command,
    containers::cifar10,
    images::{brighter, ppm, write},
    wsidx,
};

const SIDE: usize = 16;
/// For what must happen.
const LONG: Duration = Duration::from_secs(60);
/// For what must not.
const SHORT: Duration = Duration::from_millis(700);

/// A running watch, whose lines are gathered.
struct Watch {
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Watch {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut watch = Self::launch(folder, arguments);
        watch.until("ready", |line| line["type"] == "ready");
        watch
    }

    fn launch(folder: &Path, arguments: &[&str]) -> Self {
        let mut program = command(PROGRAM, folder);
        program.arg("watch").args(arguments).stdout(Stdio::piped());
        Self::of(program)
    }

    fn of(mut program: std::process::Command) -> Self {
        let mut child = program.spawn().unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // A line that a kill cut is none.
                if let Ok(value) = serde_json::from_str(&line) {
                    let _ = send.send(value);
                }
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line, and gives it.
    #[track_caller]
    fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + LONG;
        loop {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(e) => panic!(
                    "{what} never came ({e}): {:#?}",
                    self.seen.iter().map(short).collect::<Vec<_>>()
                ),
            }
        }
    }

    #[track_caller]
    fn verdict(&mut self, path: &str) -> Value {
        self.until(path, |line| {
            line["type"] == "verdict" && line["path"] == path
        })
    }

    /// All lines about files that come in a short time.
    fn rest(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match self.lines.recv_timeout(SHORT) {
                Ok(line) => {
                    all.extend(line.get("seq").is_some().then(|| short(&line)));
                    self.seen.push(line);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return all,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it, and gives all its lines.
    #[track_caller]
    fn stop(mut self) -> Vec<Value> {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0));
        self.rest();
        assert_eq!(self.seen.last().unwrap()["type"], "stopped");
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn short(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let words = [text("type"), text("path"), text("verdict"), text("reason")];
    words
        .iter()
        .filter(|word| !word.is_empty())
        .cloned()
        .collect::<Vec<_>>()
        .join(" ")
}

/// A dataset of twelve pictures under two labels, with an index, and a folder `in`.
fn dataset() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    (0..12).for_each(|seed| {
        write(
            tree.path(),
            &format!("{}/{seed}.ppm", ["cat", "dog"][seed as usize % 2]),
            &ppm(seed, SIDE),
        );
    });
    fs::create_dir(tree.path().join("in")).unwrap();
    wsidx(tree.path(), ["sync", "--init", "--quiet"]).expect(0);
    tree
}

fn picture(seed: u64) -> Vec<u8> {
    ppm(1_000 + seed, SIDE)
}

/// The verdict of `wsidx check` as JSON.
fn check(root: &Path, path: &str) -> Value {
    let run = wsidx(root, ["check", "--exit-zero", "--format", "json", path]).expect(0);
    serde_json::from_str::<Value>(&run.stdout).unwrap()[0].take()
}

fn status(root: &Path) -> Value {
    serde_json::from_str(
        &wsidx(root, ["watch", "status", "--format", "json"])
            .expect(0)
            .stdout,
    )
    .unwrap()
}

#[test]
fn a_file_that_comes_is_judged_as_check_judges_it_and_seen_by_others_at_once() {
    let tree = dataset();
    let root = tree.path();
    let near = brighter(&ppm(0, SIDE), 4);
    write(root, "elsewhere.bin", &near);
    let mut expected = check(root, "elsewhere.bin");
    let mut watch = Watch::start(root, &["."]);
    fs::copy(root.join("elsewhere.bin"), root.join("in/near.ppm")).unwrap();
    let mut line = watch.verdict("in/near.ppm");
    assert_eq!(
        (&line["v"], &line["seq"], &line["verdict"]),
        (&1.into(), &1.into(), &"influential".into())
    );
    // The moment that a line is there, whoever asks sees the file.
    let found: Value = serde_json::from_str(
        &wsidx(
            root,
            ["query", "-k", "1", "--format", "json", "in/near.ppm"],
        )
        .expect(0)
        .stdout,
    )
    .unwrap();
    assert_eq!(found[0]["neighbors"][0]["path"], "in/near.ppm");
    // The same evidence, but for the label that the folder gives.
    for (name, value) in expected.as_object_mut().unwrap() {
        let of_folder = [
            "path",
            "label",
            "verdict",
            "reject",
            "conflicts",
            "duplicates",
            "message",
        ]
        .contains(&name.as_str());
        assert!(of_folder || line[name].take() == *value, "{name}");
    }
    write(root, "cat/again.ppm", &brighter(&ppm(0, SIDE), 6));
    assert_eq!(watch.verdict("cat/again.ppm")["verdict"], "influential");
    write(root, "cat/same.ppm", &ppm(2, SIDE));
    let same = watch.verdict("cat/same.ppm");
    assert_eq!(
        (&same["verdict"], &same["exact"], &same["seq"]),
        (&"redundant".into(), &true.into(), &3.into())
    );
    fs::remove_file(root.join("cat/same.ppm")).unwrap();
    assert_eq!(
        watch.until("removed", |line| line["type"] == "removed")["path"],
        "cat/same.ppm"
    );
    fs::rename(root.join("in/near.ppm"), root.join("in/moved.ppm")).unwrap();
    let moved = watch.until("moved", |line| line["type"] == "moved");
    assert_eq!(
        (&moved["from"]["path"], &moved["path"], &moved["seq"]),
        (&"in/near.ppm".into(), &"in/moved.ppm".into(), &5.into())
    );
    watch.stop();
    wsidx(root, ["sync"]).expect(0);
    assert!(
        wsidx(root, ["sync"])
            .expect(0)
            .stdout
            .starts_with("nothing changed")
    );
    wsidx(root, ["verify", "--files"]).expect(0);
    let numbers: Vec<String> = wsidx(root, ["watch", "events", "--since", "3"])
        .expect(0)
        .stdout
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(numbers.len(), 2);
    assert!(numbers[0].contains("\"seq\":4,"));
}

/// Waits until `wsidx watch events` gives so many lines.
#[track_caller]
fn until_told(root: &Path, count: usize) {
    let end = Instant::now() + LONG;
    while wsidx(root, ["watch", "events", "--since", "0"])
        .expect(0)
        .stdout
        .lines()
        .count()
        < count
    {
        assert!(Instant::now() < end, "{count} events never came");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A watch that is ready, and its lines, which nobody reads.
fn unread(root: &Path, arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut child = command(PROGRAM, root)
        .arg("watch")
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"type\":\"ready\"") {
        line.clear();
        out.read_line(&mut line).unwrap();
    }
    (child, out)
}

/// Files come as one batch.
#[track_caller]
fn come_together(root: &Path, files: impl Iterator<Item = (String, Vec<u8>)>) {
    wsidx(root, ["watch", "pause"]).expect(0);
    let count = files
        .map(|(name, bytes)| write(root, &name, &bytes))
        .count();
    let end = Instant::now() + LONG;
    while status(root)["waiting"] != count {
        assert!(Instant::now() < end, "{count} files never waited");
        std::thread::sleep(Duration::from_millis(20));
    }
    wsidx(root, ["watch", "resume"]).expect(0);
}

#[test]
fn while_lines_are_not_read_what_comes_is_taken_in_and_they_come_in_order_when_they_are() {
    let tree = dataset();
    let root = tree.path();
    let (mut child, out) = unread(root, &["in"]);
    let near = |seed: u64| brighter(&ppm(seed % 12, SIDE), 1 + seed as u8);
    come_together(
        root,
        (0..60).map(|seed| (format!("in/a-{seed}.ppm"), near(seed))),
    );
    until_told(root, 60);
    write(root, "in/b.ppm", &picture(1));
    until_told(root, 61);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert!(
        lines
            .iter()
            .map(|line| line.to_string().len())
            .sum::<usize>()
            > 1 << 16,
        "longer than a pipe can hold"
    );
    let numbers: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["seq"].as_u64())
        .collect();
    assert_eq!(numbers, (1..=61).collect::<Vec<_>>());
    assert_eq!(lines.last().unwrap()["type"], "stopped");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_file_is_moved_when_its_line_is_written_and_not_before() {
    let tree = dataset();
    let root = tree.path();
    let (mut child, out) = unread(root, &["in", "--on-redundant", "move:moved"]);
    come_together(
        root,
        (0..150).map(|number| (format!("in/{number}.ppm"), picture(1))),
    );
    until_told(root, 150);
    std::thread::sleep(SHORT);
    assert!(
        (0..150).all(|number| root.join(format!("in/{number}.ppm")).exists()),
        "a file has left before its line was read"
    );
    let lines: Vec<String> = out
        .lines()
        .map_while(|line| line.ok().filter(|line| !line.contains("\"seq\":150,")))
        .collect();
    assert!(
        lines.iter().map(String::len).sum::<usize>() > 1 << 16,
        "longer than a pipe can hold"
    );
    let end = Instant::now() + LONG;
    while fs::read_dir(root.join("in")).unwrap().count() > 1 {
        assert!(Instant::now() < end, "they never left");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_watch_ends_when_nobody_reads_its_lines_any_more() {
    let tree = dataset();
    let root = tree.path();
    let (mut child, out) = unread(root, &["in"]);
    drop(out);
    write(root, "in/a.ppm", &picture(1));
    let end = Instant::now() + LONG;
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "it still watches");
        std::thread::sleep(Duration::from_millis(20));
    }
    until_told(root, 1);
    let mut watch = Watch::start(root, &["in"]);
    write(root, "in/b.ppm", &picture(2));
    watch.verdict("in/b.ppm");
}

#[test]
fn whatever_way_a_file_comes_it_is_told_once() {
    let tree = dataset();
    let root = tree.path();
    let outside = tempfile::tempdir_in(root.parent().unwrap()).unwrap();
    let mut watch = Watch::start(root, &[".", "--settle", "0.3"]);
    // Written slowly: closed once, at the end.
    let bytes = picture(1);
    let mut slow = fs::File::create(root.join("in/slow.ppm")).unwrap();
    let (most, last) = bytes.split_at(bytes.len() - 10);
    for piece in most.chunks(150) {
        slow.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(40));
    }
    assert_eq!(watch.rest(), [""; 0], "what is not whole is left alone");
    slow.write_all(last).unwrap();
    drop(slow);
    assert_eq!(watch.verdict("in/slow.ppm")["verdict"], "novel");
    // Closed in the middle: what cannot be read yet is tried again.
    write(root, "in/halves.ppm", &bytes[..300]);
    std::thread::sleep(Duration::from_millis(200));
    write(root, "in/halves.ppm", &picture(2));
    assert_eq!(watch.verdict("in/halves.ppm")["verdict"], "novel");
    // Moved in, replaced in one step, linked, a folder with files, and folders made in a hurry.
    write(outside.path(), "a.ppm", &picture(3));
    fs::rename(outside.path().join("a.ppm"), root.join("in/moved-in.ppm")).unwrap();
    watch.verdict("in/moved-in.ppm");
    write(root, "in/.halves.ppm.part", &picture(4));
    fs::rename(root.join("in/.halves.ppm.part"), root.join("in/halves.ppm")).unwrap();
    watch.verdict("in/halves.ppm");
    write(outside.path(), "b", &picture(5));
    fs::hard_link(outside.path().join("b"), root.join("in/linked.ppm")).unwrap();
    watch.verdict("in/linked.ppm");
    (0..20).for_each(|i| {
        write(
            outside.path(),
            &format!("many/deep/{i}.ppm"),
            &picture(100 + i),
        );
    });
    fs::rename(outside.path().join("many"), root.join("in/many")).unwrap();
    (0..20).for_each(|i| write(root, &format!("in/quick/{i}/x.ppm"), &picture(200 + i)));
    let mut wanted: BTreeSet<String> = (0..20)
        .flat_map(|i| {
            [
                format!("in/many/deep/{i}.ppm"),
                format!("in/quick/{i}/x.ppm"),
            ]
        })
        .collect();
    while !wanted.is_empty() {
        let line = watch.until("a file of a folder", |line| line["type"] == "verdict");
        assert!(
            wanted.remove(line["path"].as_str().unwrap()),
            "{}",
            short(&line)
        );
    }
    // A folder that moves within, and one that leaves.
    fs::rename(root.join("in/many"), root.join("in/more")).unwrap();
    (0..20).for_each(|_| drop(watch.until("a move", |line| line["type"] == "moved")));
    fs::rename(root.join("in/quick"), outside.path().join("quick")).unwrap();
    (0..20).for_each(|_| drop(watch.until("a departure", |line| line["type"] == "removed")));
    assert_eq!(watch.rest(), [""; 0]);
    let lines = watch.stop();
    let numbers: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["seq"].as_u64())
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(
        wsidx(root, ["sync"])
            .expect(0)
            .stdout
            .starts_with("nothing changed")
    );
}

#[test]
fn what_is_no_image_file_is_passed_over_and_hostile_names_do_no_harm() {
    let tree = dataset();
    let root = tree.path();
    let outside = tempfile::tempdir_in(root.parent().unwrap()).unwrap();
    write(outside.path(), "secret.ppm", &picture(1));
    let mut watch = Watch::start(root, &[".", "--settle", "0.2"]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("in/pipe.ppm"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(root.join("in/socket.ppm")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret.ppm"), root.join("in/link.ppm"))
        .unwrap();
    std::os::unix::fs::symlink(outside.path(), root.join("in/folder")).unwrap();
    fs::create_dir(root.join("in/folder.ppm")).unwrap();
    write(root, "in/.hidden.ppm", &picture(2));
    write(root, "in/notes.txt", b"words");
    write(root, "in/half.ppm.part", &picture(3));
    let bytes = [&b"in/a\xff\n\x1b[2J\""[..], b".ppm"].concat();
    fs::write(
        root.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&bytes)),
        picture(4),
    )
    .unwrap();
    let line = watch.until("the odd name", |line| line["type"] == "verdict");
    assert_eq!(line["path_b64"], data_encoding::BASE64.encode(&bytes));
    write(root, "in/garbage.ppm", b"P6 no picture");
    assert_eq!(watch.verdict("in/garbage.ppm")["verdict"], "undecodable");
    assert_eq!(watch.rest(), [""; 0]);
    assert_eq!(
        watch
            .stop()
            .iter()
            .filter(|line| line["type"] == "verdict")
            .count(),
        2
    );
}

#[test]
fn what_came_while_nobody_watched_is_judged_at_the_start_and_only_once() {
    let tree = dataset();
    let root = tree.path();
    write(root, "in/a.ppm", &picture(1));
    let mut watch = Watch::start(root, &["in", "--settle", "0.2"]);
    watch.verdict("in/a.ppm");
    watch.stop();
    fs::remove_file(root.join("in/a.ppm")).unwrap();
    write(root, "in/b.ppm", &picture(2));
    write(root, "cat/unwatched.ppm", &picture(3));
    let mut watch = Watch::start(root, &["in", "--settle", "0.2", "--since", "0"]);
    watch.verdict("in/b.ppm");
    watch.rest();
    let mut told: Vec<String> = watch
        .stop()
        .iter()
        .filter(|line| line["seq"].is_u64())
        .map(short)
        .collect();
    assert_eq!(told.remove(0), "verdict in/a.ppm novel");
    told.sort();
    assert_eq!(told, ["removed in/a.ppm", "verdict in/b.ppm novel"]);
}

#[test]
fn one_watches_and_says_so_and_obeys_its_socket() {
    let tree = dataset();
    let root = tree.path();
    let none = wsidx(root, ["watch", "status"]).expect(2);
    assert!(none.stderr.contains("nobody watches"), "{}", none.stderr);
    let mut watch = Watch::start(root, &["in", "--metrics", "127.0.0.1:0"]);
    let second = wsidx(root, ["watch", "in"]).expect(2);
    assert!(second.stderr.contains("wsidx watch"), "{}", second.stderr);
    let mode = fs::symlink_metadata(root.join(".wsidx/watch.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        (&status(root)["state"], &status(root)["images"]),
        (&"watching".into(), &12.into())
    );
    wsidx(root, ["watch", "pause"]).expect(0);
    watch.until("paused", |line| line["type"] == "paused");
    write(root, "in/a.ppm", &picture(1));
    assert_eq!(watch.rest(), [""; 0]);
    assert_eq!(
        (&status(root)["state"], &status(root)["waiting"]),
        (&"paused".into(), &1.into())
    );
    wsidx(root, ["watch", "resume"]).expect(0);
    watch.verdict("in/a.ppm");
    wsidx(root, ["watch", "rescan"]).expect(0);
    watch.until("rescan_done", |line| line["type"] == "rescan_done");
    assert_eq!(status(root)["novel"], 1);
    wsidx(root, ["watch", "stop"]).expect(0);
    assert_eq!(watch.child.wait().unwrap().code(), Some(0));
    assert!(!root.join(".wsidx/watch.sock").exists());
}

#[test]
fn the_images_of_a_container_are_judged_one_by_one_as_it_comes_changes_and_goes() {
    let tree = dataset();
    let root = tree.path();
    let mut watch = Watch::start(root, &["."]);
    write(
        root,
        "in/data_batch_1.bin",
        &cifar10(&[(1, 100), (2, 101), (3, 100)]),
    );
    assert_eq!(watch.verdict("in/data_batch_1.bin#0")["verdict"], "novel");
    assert_eq!(watch.verdict("in/data_batch_1.bin#1")["label"], "2");
    assert_eq!(
        watch.verdict("in/data_batch_1.bin#2")["verdict"],
        "influential"
    );
    write(root, "in/batches.meta.txt", b"zero\none\ntwo\nthree\n");
    assert_eq!(watch.verdict("in/data_batch_1.bin#1")["label"], "two");
    watch.rest();
    write(root, "in/data_batch_1.bin", &cifar10(&[(1, 100), (2, 102)]));
    assert_eq!(watch.verdict("in/data_batch_1.bin#1")["verdict"], "novel");
    let gone = watch.until("removed", |line| line["type"] == "removed");
    assert_eq!(gone["path"], "in/data_batch_1.bin#2");
    watch.rest();
    fs::rename(
        root.join("in/data_batch_1.bin"),
        root.join("in/data_batch_2.bin"),
    )
    .unwrap();
    let moved = watch.until("moved", |line| line["type"] == "moved");
    assert_eq!(moved["path"], "in/data_batch_2.bin#0");
    watch.rest();
    fs::remove_file(root.join("in/data_batch_2.bin")).unwrap();
    let gone = watch.until("removed", |line| {
        line["type"] == "removed" && line["path"] == "in/data_batch_2.bin#1"
    });
    assert_eq!(gone["type"], "removed");
    watch.stop();
    assert_eq!(
        wsidx(root, ["sync", "--format", "json"])
            .expect(0)
            .stdout
            .matches("\"added\": 0")
            .count(),
        1
    );
}

#[test]
fn what_has_changed_is_clustered_at_idle_and_nothing_else() {
    let tree = dataset();
    let mut watch = Watch::start(tree.path(), &["in", "--recluster", "0.2"]);
    for name in ["a-1", "a-2", "b-1", "b-2"] {
        let (of, by) = (u64::from(name.as_bytes()[0]), name.as_bytes()[2] - b'0');
        write(
            tree.path(),
            &format!("in/{name}.ppm"),
            &brighter(&picture(of), 2 * by),
        );
    }
    // Two pairs, in one batch or several.
    let mut seen = [0, 0];
    while seen != [2, 4] {
        let line = watch.until("clusters", |line| line["type"] == "clustered");
        assert!(
            line["clusters"] == line["components"] && line["ms"].is_u64(),
            "{line}"
        );
        seen[0] += line["components"].as_u64().unwrap();
        seen[1] += line["contents"].as_u64().unwrap();
    }
    write(
        tree.path(),
        "in/a-3.ppm",
        &brighter(&picture(u64::from(b'a')), 6),
    );
    assert_eq!(watch.verdict("in/a-3.ppm")["cluster"]["images"], 2);
    let line = watch.until("clusters", |line| line["type"] == "clustered");
    assert_eq!(
        ["components", "contents", "largest", "clusters"].map(|name| line[name].as_u64().unwrap()),
        [1, 3, 3, 1],
        "{line}"
    );
    // Without a change there is nothing to cluster.
    let times = status(tree.path())["reclusterings"].as_u64().unwrap();
    assert_eq!(
        watch
            .seen
            .iter()
            .filter(|line| line["type"] == "clustered")
            .count() as u64,
        times
    );
    std::thread::sleep(SHORT);
    assert_eq!(status(tree.path())["reclusterings"], times);
}

#[test]
fn a_table_or_rules_that_change_count_from_then_on() {
    let tree = dataset();
    let root = tree.path();
    let mut watch = Watch::start(root, &["."]);
    write(root, "in/a.ppm", &brighter(&ppm(0, SIDE), 4));
    assert_eq!(watch.verdict("in/a.ppm")["verdict"], "influential");
    write(root, "labels.csv", b"file_name,label\nin/a.ppm,cat\n");
    let line = watch.verdict("in/a.ppm");
    assert_eq!(
        (&line["verdict"], &line["label"]),
        (&"redundant".into(), &"cat".into())
    );
    write(root, "labels.csv", b"file_name,label\n../a.ppm,cat\n");
    let line = watch.until("degraded", |line| line["type"] == "degraded");
    assert!(
        line["reason"].as_str().unwrap().contains("labels.csv"),
        "{line}"
    );
    write(root, "labels.csv", b"file_name,label\nin/a.ppm,cat\n");
    write(root, ".wsidx-allow", b"path in/* # tried\n");
    watch.rest();
    watch.signal(Signal::HUP);
    watch.until("rescan_done", |line| line["type"] == "rescan_done");
    write(root, "in/b.ppm", &brighter(&ppm(0, SIDE), 6));
    assert_eq!(
        watch.verdict("in/b.ppm")["allowed"],
        "tried (.wsidx-allow:1)"
    );
    watch.stop();
}

#[test]
fn a_folder_that_is_removed_and_made_again_is_told_and_watched_again() {
    let tree = dataset();
    let root = tree.path();
    write(root, "in/a.ppm", &picture(1));
    let mut watch = Watch::start(root, &["in", "--settle", "0.2"]);
    watch.verdict("in/a.ppm");
    fs::rename(root.join("in"), root.join("out")).unwrap();
    let line = watch.until("degraded", |line| line["type"] == "degraded");
    assert!(line["reason"].as_str().unwrap().contains("gone"), "{line}");
    assert_eq!(
        watch.rest(),
        [""; 0],
        "what is not there is not taken for removed"
    );
    assert!(
        status(root)["degraded"][0]
            .as_str()
            .unwrap()
            .contains("gone")
    );
    fs::create_dir(root.join("in")).unwrap();
    watch.until("recovered", |line| line["type"] == "recovered");
    watch.until("removed", |line| {
        line["type"] == "removed" && line["path"] == "in/a.ppm"
    });
    write(root, "in/b.ppm", &picture(2));
    watch.verdict("in/b.ppm");
    watch.stop();
}

#[test]
fn redundant_files_are_moved_or_linked_with_their_verdict_beside_them_and_nothing_is_replaced() {
    let tree = dataset();
    let root = tree.path();
    write(root, "moved/in/a.ppm", b"somebody's");
    let refused = wsidx(root, ["watch", ".", "--on-redundant", "move:moved"]).expect(2);
    assert!(
        refused.stderr.contains("judged again"),
        "{}",
        refused.stderr
    );
    let mut watch = Watch::start(root, &["in", "cat", "dog", "--on-redundant", "move:moved"]);
    write(root, "in/a.ppm", &picture(1));
    assert_eq!(watch.verdict("in/a.ppm")["action"], Value::Null);
    write(root, "in/b.ppm", &picture(1));
    assert_eq!(watch.verdict("in/b.ppm")["action"], "move");
    watch.until("removed", |line| {
        line["type"] == "removed" && line["path"] == "in/b.ppm"
    });
    assert_eq!(fs::read(root.join("moved/in/b.ppm")).unwrap(), picture(1));
    let beside: Value =
        serde_json::from_slice(&fs::read(root.join("moved/in/b.ppm.json")).unwrap()).unwrap();
    assert_eq!(
        (&beside["verdict"], &beside["path"]),
        (&"redundant".into(), &"in/b.ppm".into())
    );
    fs::remove_file(root.join("in/a.ppm")).unwrap();
    watch.until("removed", |line| {
        line["type"] == "removed" && line["path"] == "in/a.ppm"
    });
    write(root, "in/c.ppm", &picture(2));
    watch.verdict("in/c.ppm");
    write(root, "in/a.ppm", &picture(2));
    watch.until("removed", |line| {
        line["type"] == "removed" && line["path"] == "in/a.ppm"
    });
    assert_eq!(
        fs::read(root.join("moved/in/a.ppm")).unwrap(),
        b"somebody's"
    );
    assert_eq!(fs::read(root.join("moved/in/a~1.ppm")).unwrap(), picture(2));
    watch.stop();
    let mut watch = Watch::start(root, &["in", "--on-redundant", "hardlink:.links"]);
    write(root, "in/d.ppm", &picture(2));
    watch.verdict("in/d.ppm");
    watch.rest();
    assert!(
        root.join("in/d.ppm").exists()
            && root.join(".links/in/d.ppm").exists()
            && root.join(".links/in/d.ppm.json").exists()
    );
    watch.stop();
    let mut watch = Watch::start(
        root,
        &[
            "in",
            "--on-redundant",
            "exec:cat > \"$HOME/line\"; basename \"$WSIDX_PATH\" > \"$HOME/name\"",
        ],
    );
    write(root, "in/e.ppm", &picture(2));
    watch.verdict("in/e.ppm");
    watch.rest();
    assert_eq!(fs::read_to_string(root.join("name")).unwrap(), "e.ppm\n");
    let line: Value = serde_json::from_slice(&fs::read(root.join("line")).unwrap()).unwrap();
    assert_eq!(line["path"], "in/e.ppm");
}

#[test]
fn events_that_the_system_loses_are_found_by_a_look_at_everything() {
    let tree = dataset();
    let root = tree.path();
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(
        limit <= 65_536,
        "this test would have to make {limit} events"
    );
    let mut watch = Watch::start(root, &["in", "--settle", "0.2"]);
    watch.signal(Signal::STOP);
    // Neighbouring events that are alike are one; so two files take turns.
    let [mut a, mut b] =
        ["in/a.tmp", "in/b.tmp"].map(|name| fs::File::create(root.join(name)).unwrap());
    for _ in 0..limit {
        a.write_all(b".").unwrap();
        b.write_all(b".").unwrap();
    }
    write(root, "in/late.ppm", &picture(1));
    watch.signal(Signal::CONT);
    watch.until("degraded", |line| {
        line["type"] == "degraded" && line["reason"].as_str().unwrap().contains("lost")
    });
    watch.verdict("in/late.ppm");
    assert!(status(root)["overflows"].as_u64().unwrap() > 0);
    watch.stop();
}

/// Lines of all runs, by number; a file twice or a number twice fails.
fn all_told(lines: &[Value]) -> BTreeMap<String, u64> {
    let (mut files, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    for line in lines.iter().filter(|line| line["seq"].is_u64()) {
        let (seq, path) = (
            line["seq"].as_u64().unwrap(),
            line["path"].as_str().unwrap().to_owned(),
        );
        if let Some(before) = numbers.insert(seq, line.clone()) {
            assert_eq!(before, *line, "one number, two lines");
            continue;
        }
        assert_eq!(line["type"], "verdict", "{}", short(line));
        assert_eq!(
            files.insert(path.clone(), seq),
            None,
            "{path} is told twice"
        );
    }
    assert!(
        numbers.keys().copied().eq(1..=numbers.len() as u64),
        "numbers have no gap"
    );
    files
}

#[test]
fn after_kills_every_file_has_one_line_none_is_lost_and_none_comes_twice() {
    const FILES: u64 = 400;
    let tree = dataset();
    let root = tree.path().to_owned();
    let writer = std::thread::spawn({
        let root = root.clone();
        move || {
            for i in 0..FILES {
                write(&root, &format!("in/{}/.{i}.part", i % 7), &picture(i));
                fs::rename(
                    root.join(format!("in/{}/.{i}.part", i % 7)),
                    root.join(format!("in/{}/{i}.ppm", i % 7)),
                )
                .unwrap();
                std::thread::sleep(Duration::from_millis(8));
            }
        }
    });
    let (mut lines, mut kills) = (Vec::new(), 0u64);
    while !writer.is_finished() {
        let since = lines
            .iter()
            .filter_map(|line: &Value| line["seq"].as_u64())
            .max()
            .unwrap_or(0)
            .to_string();
        let mut watch = Watch::launch(&root, &["in", "--settle", "0.2", "--since", &since]);
        std::thread::sleep(Duration::from_millis(300 + 170 * (kills % 5)));
        watch.signal(Signal::KILL);
        watch.child.wait().unwrap();
        watch.rest();
        lines.append(&mut watch.seen);
        kills += 1;
    }
    writer.join().unwrap();
    let since = lines
        .iter()
        .filter_map(|line| line["seq"].as_u64())
        .max()
        .unwrap_or(0)
        .to_string();
    let mut watch = Watch::start(&root, &["in", "--settle", "0.2", "--since", &since]);
    while !watch.rest().is_empty() || status(&root)["waiting"] != 0 {}
    lines.extend(watch.stop());
    let files = all_told(&lines);
    assert_eq!(files.len() as u64, FILES, "{kills} kills");
    assert!(kills > 3, "{kills}");
    let kept: Vec<Value> = wsidx(&root, ["watch", "events"])
        .expect(0)
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all_told(&kept), files);
    assert!(
        wsidx(&root, ["sync"])
            .expect(0)
            .stdout
            .starts_with("nothing changed")
    );
    wsidx(&root, ["verify", "--files"]).expect(0);
}
