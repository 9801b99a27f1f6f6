//! `wsidx watch` and the system around it: a full disk, an unmounted folder, the limit of watches,
//! the service manager, Prometheus.
//!
//! File systems are mounted in a user namespace of the process under test (`unshare`), so that
//! nobody needs to be root; what is in them is reached through `/proc/PID/root`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::net::{UnixDatagram, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{
    PROGRAM, command,
    images::{ppm, write},
    wsidx,
};

const SIDE: usize = 16;
const LONG: Duration = Duration::from_secs(60);

/// A running watch, whose lines are gathered.
struct Watch {
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<String>,
}

impl Watch {
    fn of(mut program: Command) -> Self {
        let mut child = program.stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.lines()
                .map_while(Result::ok)
                .for_each(|line| drop(send.send(serde_json::from_str(&line).unwrap())));
        });
        let mut watch = Self {
            child,
            lines,
            seen: Vec::new(),
        };
        watch.until("ready", "");
        watch
    }

    /// Waits for a line of this type that holds some words.
    #[track_caller]
    fn until(&mut self, kind: &str, words: &str) -> Value {
        let end = Instant::now() + LONG;
        loop {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.seen.push(line.to_string());
                    if line["type"] == kind && line.to_string().contains(words) {
                        return line;
                    }
                }
                Err(e) => panic!("{kind} {words} never came ({e}): {:#?}", self.seen),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The same place as the process sees it.
    fn inside(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.child.id()))
            .join(path.strip_prefix("/").unwrap())
    }

    /// Runs a script where the process is.
    fn there(&self, script: &str) {
        let (pid, mut enter) = (self.child.id().to_string(), Command::new("nsenter"));
        enter.args([
            "--target",
            &pid,
            "--user",
            "--mount",
            "--preserve-credentials",
            "sh",
            "-euc",
            script,
        ]);
        assert!(enter.status().unwrap().success(), "{script}");
    }

    #[track_caller]
    fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A dataset of six pictures with an index and a folder `in`.
fn dataset() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    (0..6).for_each(|seed| write(tree.path(), &format!("cat/{seed}.ppm"), &ppm(seed, SIDE)));
    fs::create_dir(tree.path().join("in")).unwrap();
    wsidx(tree.path(), ["sync", "--init", "--quiet"]).expect(0);
    tree
}

/// The watch in a namespace of its own, after a script there.
fn apart(folder: &Path, script: &str, arguments: &str) -> Command {
    let mut unshare = command("unshare", folder);
    unshare.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-euc",
        &format!("{script}\nexec {PROGRAM} watch {arguments}"),
    ]);
    unshare
}

#[test]
fn a_full_disk_pauses_and_says_so_and_goes_on_when_there_is_room() {
    let (from, place) = (dataset(), tempfile::tempdir().unwrap());
    let root = place.path();
    let script = format!(
        "mount -t tmpfs -o size=24m none {0}; cp -a {1}/. {0}; cd {0}",
        root.display(),
        from.path().display()
    );
    let mut watch = Watch::of(apart(root, &script, "in --settle 0.2"));
    let inside = watch.inside(root);
    for i in 0..40 {
        write(&inside, &format!("in/.{i}"), &ppm(100 + i, SIDE));
    }
    let mut filler = fs::File::create(inside.join("filler")).unwrap();
    while filler.write_all(&[0; 4_096]).is_ok() {}
    (0..20).for_each(|i| {
        fs::rename(
            inside.join(format!("in/.{i}")),
            inside.join(format!("in/{i}.ppm")),
        )
        .unwrap();
    });
    watch.until("degraded", "the disk is full");
    // Its room is free once nobody has it open.
    drop(filler);
    fs::remove_file(inside.join("filler")).unwrap();
    watch.until("recovered", "");
    (20..40).for_each(|i| {
        fs::rename(
            inside.join(format!("in/.{i}")),
            inside.join(format!("in/{i}.ppm")),
        )
        .unwrap();
    });
    let mut told = std::collections::BTreeSet::new();
    while told.len() < 40 {
        let line = watch.until("verdict", "");
        assert!(told.insert(line["path"].to_string()), "{line}");
        assert_eq!(line["seq"], told.len() as u64);
    }
    watch.stop();
}

#[test]
fn what_is_on_a_file_system_that_was_unmounted_is_not_taken_for_removed() {
    let tree = dataset();
    let root = tree.path();
    let mount = format!(
        "mount -t tmpfs none {0}/in; cp -a {0}/cat/. {0}/in",
        root.display()
    );
    let mut watch = Watch::of(apart(root, &mount, "in --settle 0.2"));
    for _ in 0..6 {
        watch.until("verdict", "in/");
    }
    watch.there(&format!("umount -l {}/in", root.display()));
    watch.until("degraded", "unmounted");
    watch.signal(Signal::USR1);
    std::thread::sleep(Duration::from_millis(1_500));
    watch.there(&mount);
    watch.until("recovered", "");
    watch.until("rescan_done", "");
    write(&watch.inside(root), "in/new.ppm", &ppm(200, SIDE));
    watch.until("verdict", "in/new.ppm");
    assert!(
        !watch.seen.iter().any(|line| line.contains("\"removed\"")),
        "{:#?}",
        watch.seen
    );
    watch.stop();
}

/// Whether a process may mount file systems in a namespace of its own; where it may not, the test
/// says so and ends.
fn may_mount(test: &str) -> bool {
    let place = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs none {}", place.path().display());
    let done = command("unshare", place.path())
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-euc",
            &script,
        ])
        .status();
    let may = done.is_ok_and(|status| status.success());
    if !may {
        println!(
            "{test}: not tested, since this user may not mount file systems (unshare --user --mount)"
        );
    }
    may
}

#[test]
fn a_file_system_below_a_watched_folder_may_go_and_come_and_nothing_in_it_is_taken_for_removed() {
    if !may_mount("a file system below a watched folder") {
        return;
    }
    let tree = dataset();
    let root = tree.path();
    let disk = root.join("in/a disk");
    fs::create_dir(&disk).unwrap();
    let mount = format!(
        "mount -t tmpfs none '{0}'; cp -a {1}/cat/. '{0}'",
        disk.display(),
        root.display()
    );
    let mut watch = Watch::of(apart(root, &mount, "in --settle 0.2"));
    for _ in 0..6 {
        watch.until("verdict", "in/a disk/");
    }
    for round in 0..2 {
        watch.there(&format!("umount -l '{}'", disk.display()));
        let told = watch.until("degraded", "unmounted");
        assert!(
            told.to_string()
                .contains("in/a disk: it was unmounted; mount it again"),
            "{told}"
        );
        // What is beside it is taken in all the same, and a look at everything removes nothing.
        write(
            &watch.inside(root),
            &format!("in/beside{round}.ppm"),
            &ppm(300 + round, SIDE),
        );
        watch.until("verdict", &format!("in/beside{round}.ppm"));
        let status: Value = serde_json::from_str(
            &wsidx(root, ["watch", "status", "--format", "json"])
                .expect(0)
                .stdout,
        )
        .unwrap();
        assert!(
            status["degraded"].to_string().contains("in/a disk"),
            "{status}"
        );
        watch.signal(Signal::USR1);
        watch.until("rescan_done", "");
        watch.there(&mount);
        watch.until("recovered", "in/a disk");
        watch.until("rescan_done", "");
        write(
            &watch.inside(root),
            &format!("in/a disk/new{round}.ppm"),
            &ppm(200 + round, SIDE),
        );
        watch.until("verdict", &format!("in/a disk/new{round}.ppm"));
        fs::remove_file(watch.inside(&disk).join(format!("new{round}.ppm"))).unwrap();
        watch.until("removed", &format!("in/a disk/new{round}.ppm"));
    }
    let removed = watch
        .seen
        .iter()
        .filter(|line| line.contains("\"removed\""))
        .count();
    assert_eq!(removed, 2, "{:#?}", watch.seen);
    watch.stop();
}

#[test]
fn a_file_system_that_comes_below_a_watched_folder_is_taken_in_and_one_over_known_files_is_not() {
    if !may_mount("a file system that comes") {
        return;
    }
    let tree = dataset();
    let root = tree.path();
    fs::create_dir(root.join("in/new")).unwrap();
    write(root, "in/old/a.ppm", &ppm(100, SIDE));
    let mut watch = Watch::of(apart(root, "true", "in --settle 0.2"));
    watch.until("verdict", "in/old/a.ppm");
    watch.there(&format!(
        "mount -t tmpfs none {0}/in/new; cp {0}/cat/0.ppm {0}/in/new",
        root.display()
    ));
    watch.until("verdict", "in/new/0.ppm");
    write(&watch.inside(root), "in/new/later.ppm", &ppm(101, SIDE));
    watch.until("verdict", "in/new/later.ppm");
    watch.there(&format!("mount -t tmpfs none {}/in/old", root.display()));
    watch.until(
        "degraded",
        "mounted over it; unmount that, or start the watch again",
    );
    watch.signal(Signal::USR1);
    watch.until("rescan_done", "");
    watch.there(&format!("umount -l {}/in/old", root.display()));
    watch.until("recovered", "in/old");
    fs::remove_file(root.join("in/old/a.ppm")).unwrap();
    watch.until("removed", "in/old/a.ppm");
    assert_eq!(
        watch
            .seen
            .iter()
            .filter(|line| line.contains("\"removed\""))
            .count(),
        1,
        "{:#?}",
        watch.seen
    );
    watch.stop();
}

#[test]
fn forty_silent_clients_hold_up_neither_status_nor_metrics() {
    let tree = dataset();
    let root = tree.path();
    let mut program = command(PROGRAM, root);
    program
        .args(["watch", "in", "--metrics", "127.0.0.1:0"])
        .stderr(fs::File::create(root.join("talk")).unwrap());
    let watch = Watch::of(program);
    let talk = fs::read_to_string(root.join("talk")).unwrap();
    let address = talk
        .split("http://")
        .nth(1)
        .unwrap()
        .split("/metrics")
        .next()
        .unwrap();
    let _silent: Vec<UnixStream> = (0..40)
        .map(|_| UnixStream::connect(root.join(".wsidx/watch.sock")).unwrap())
        .collect();
    let _mute: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let began = Instant::now();
    wsidx(root, ["watch", "status"]).expect(0);
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    watch.stop();
}

#[test]
fn where_the_limit_of_watches_is_reached_the_folder_is_polled_and_it_is_said() {
    let tree = dataset();
    let root = tree.path();
    (0..9).for_each(|i| fs::create_dir(root.join(format!("in/{i}"))).unwrap());
    let mut watch = Watch::of(apart(
        root,
        "echo 5 > /proc/sys/user/max_inotify_watches",
        "in --settle 0.2",
    ));
    assert!(
        watch
            .seen
            .iter()
            .any(|line| line.contains("limit of watched folders")
                && line.contains("max_user_watches")),
        "{:?}",
        watch.seen
    );
    (0..9).for_each(|i| write(root, &format!("in/{i}/x.ppm"), &ppm(100 + i, SIDE)));
    for _ in 0..9 {
        watch.until("verdict", "x.ppm");
    }
    watch.stop();
}

#[test]
fn polling_finds_what_comes_changes_and_goes() {
    let tree = dataset();
    let root = tree.path();
    let mut program = command(PROGRAM, root);
    program.args(["watch", "in", "--backend", "poll", "--settle", "0.2"]);
    let mut watch = Watch::of(program);
    write(root, "in/a.ppm", &ppm(100, SIDE));
    watch.until("verdict", "in/a.ppm");
    write(root, "in/a.ppm", &ppm(101, SIDE));
    watch.until("verdict", "in/a.ppm");
    fs::rename(root.join("in/a.ppm"), root.join("in/b.ppm")).unwrap();
    watch.until("moved", "in/b.ppm");
    fs::remove_file(root.join("in/b.ppm")).unwrap();
    watch.until("removed", "in/b.ppm");
    watch.stop();
}

#[test]
fn the_service_manager_hears_of_every_state_and_that_the_work_goes_on() {
    let tree = dataset();
    let root = tree.path();
    let socket = UnixDatagram::bind(root.join("notify")).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let hear = |wanted: &str| {
        let mut words = [0; 1_024];
        loop {
            let len = socket
                .recv(&mut words)
                .unwrap_or_else(|e| panic!("{wanted} was never said: {e}"));
            let text = String::from_utf8_lossy(&words[..len]).into_owned();
            if text.starts_with(wanted) {
                return text;
            }
        }
    };
    let mut program = command(PROGRAM, root);
    program
        .args(["watch", "in"])
        .env("NOTIFY_SOCKET", root.join("notify"))
        .env("WATCHDOG_USEC", "2000000");
    let watch = Watch::of(program);
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    watch.signal(Signal::HUP);
    let reloading = hear("RELOADING=1");
    let (_, time) = reloading.split_once("MONOTONIC_USEC=").unwrap();
    assert!(time.parse::<u64>().unwrap() > 0);
    hear("READY=1");
    watch.signal(Signal::TERM);
    hear("STOPPING=1");
}

#[test]
fn numbers_are_served_to_prometheus_on_this_machine_only_and_talk_may_be_json() {
    let tree = dataset();
    let root = tree.path();
    let refused = wsidx(root, ["watch", "in", "--metrics", "0.0.0.0:9184"]).expect(2);
    assert!(
        refused.stderr.contains("only addresses of this machine"),
        "{}",
        refused.stderr
    );
    let mut program = command(PROGRAM, root);
    program
        .args([
            "watch",
            "in",
            "--metrics",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ])
        .stderr(fs::File::create(root.join("talk")).unwrap());
    let mut watch = Watch::of(program);
    let talk = fs::read_to_string(root.join("talk")).unwrap();
    let line: Value = serde_json::from_str(talk.lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "info");
    let address = line["message"]
        .as_str()
        .unwrap()
        .split("http://")
        .nth(1)
        .unwrap()
        .trim_end_matches("/metrics")
        .to_owned();
    let ask = |what: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {what} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    write(root, "in/a.ppm", &ppm(0, SIDE));
    watch.until("verdict", "in/a.ppm");
    let text = ask("/metrics");
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("text/plain; version=0.0.4"),
        "{text}"
    );
    assert!(text.contains("\nwsidx_ingest_seconds_count 1\n"), "{text}");
    assert!(ask("/etc/passwd").starts_with("HTTP/1.1 404"));
    watch.stop();
}
