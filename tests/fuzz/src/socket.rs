//! Bytes to the socket of a running `wsidx watch`, the program that `WSIDX_FUZZ_PROGRAM` names.
//!
//! Held: every client is answered or left within ten seconds, an answer is one line of JSON, and
//! the watcher goes on in bounded memory.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use crate::folder;

/// Bytes that the watcher may hold.
const MEMORY: u64 = 512 << 20;
/// What a client waits for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

struct Watcher {
    child: Child,
    socket: PathBuf,
    inputs: u64,
}

fn watcher() -> &'static Mutex<Watcher> {
    static WATCHER: OnceLock<Mutex<Watcher>> = OnceLock::new();
    WATCHER.get_or_init(|| Mutex::new(started()))
}

fn started() -> Watcher {
    let program = std::env::var_os("WSIDX_FUZZ_PROGRAM").expect("WSIDX_FUZZ_PROGRAM names the program wsidx");
    let root = folder().join("watched");
    fs::create_dir_all(root.join("cat")).expect("a folder can be made");
    for grey in 0..3_u8 {
        let samples: Vec<u8> = (0..64).map(|i| if i % 9 < 4 { grey * 9 } else { 200 }).collect();
        fs::write(root.join(format!("cat/{grey}.pgm")), [b"P5 8 8 255\n".as_slice(), &samples].concat()).expect("a file can be written");
    }
    let run = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.args(words).current_dir(&root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let _ = run(&["init", "--size", "8"]).status();
    let child = run(&["watch", "."]).spawn().expect("the program runs");
    let socket = root.join(".wsidx/watch.sock");
    let end = Instant::now() + PATIENCE;
    while UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < end, "the watcher does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Watcher { child, socket, inputs: 0 }
}

/// Clients separated by bytes 255; those that would stop the watcher are left out.
pub fn run(data: &[u8]) {
    let mut watcher = watcher().lock().unwrap_or_else(PoisonError::into_inner);
    for client in data.split(|&b| b == 255).take(4).filter(|words| words.trim_ascii() != b"stop" && !words.starts_with(b"stop")) {
        talk(&watcher.socket, client);
    }
    watcher.inputs += 1;
    assert!(matches!(watcher.child.try_wait(), Ok(None)), "the watcher has ended");
    if watcher.inputs.is_multiple_of(1_000) {
        talk(&watcher.socket, b"resume\n");
        let held = held(watcher.child.id());
        assert!(held <= MEMORY, "the watcher holds {held} bytes");
    }
}

fn talk(socket: &PathBuf, words: &[u8]) {
    let mut stream = UnixStream::connect(socket).expect("the watcher listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time can be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time can be set");
    // The watcher may have left before all was said.
    let _ = stream.write_all(words).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => panic!("no answer in {PATIENCE:?}"),
        _ => {}
    }
    let sound = answer.is_empty() || serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&answer).is_ok();
    assert!(sound && answer.len() < 1 << 16, "the answer is no line of JSON: {:?}", String::from_utf8_lossy(&answer));
}

/// Resident bytes of a process.
fn held(process: u32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}

/// The words that a watcher knows, and none.
pub fn seeds() -> Vec<Vec<u8>> {
    [&b"status\n"[..], b"pause\n", b"resume\n", b"rescan\n\xffstatus\n", b"", b"\n", &[b'x'; 70], b"pause\xff\xfe\xffresume"]
        .map(<[u8]>::to_vec)
        .to_vec()
}
