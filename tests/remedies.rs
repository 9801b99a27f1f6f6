//! A damage campaign: every byte of every file of a small index flipped, zeroed, or the last one
//! before a cut. Each reading command gives the right answer, or an error that names the commands
//! of wsidx that mend it; those commands then mend it, without anybody's help.
//!
//! By default the commands run once for each distinct message, and every byte of the smaller files
//! is damaged. `WSIDX_DAMAGE=all` takes every byte of every file, and mends after every error; with
//! `--nocapture` it prints the table for the record.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use support::{
    copy_folder,
    images::{brighter, ppm, write},
    remedies::{commands_in, names_a_remedy},
    wsidx,
};
use wsidx::{
    Result,
    index::{CheckItem, CheckOptions, Isolation, Reader, events},
    monitor::Silent,
    picture::Limits,
    similarity::EdgeRule,
};

const SIDE: usize = 8;
/// Bytes of a file up to which each of them is damaged by default; of longer ones as many, evenly
/// spread.
const SAMPLED: usize = 40;

/// Six pictures, two of them alike; one that has left, whose content is cached; crops; and two
/// events.
fn small() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("wsidx.toml"), "[index]\ncrops = true\n").unwrap();
    (0..5).for_each(|seed| write(tree.path(), &format!("cat/{seed}.ppm"), &ppm(seed, SIDE)));
    write(tree.path(), "dog/5.ppm", &brighter(&ppm(3, SIDE), 2));
    write(tree.path(), "cat/left.ppm", &ppm(9, SIDE));
    wsidx(tree.path(), ["init"]).expect(0);
    wsidx(tree.path(), ["sync"]).expect(0);
    fs::remove_file(tree.path().join("cat/left.ppm")).unwrap();
    wsidx(tree.path(), ["sync"]).expect(0);
    tree
}

/// What a reader answers of the index in a folder.
type Answer = fn(&Path) -> Result<String>;

/// The readers of an index, by name, each with what it answers.
const READERS: [(&str, Answer); 6] = [
    ("query", |root| {
        let query = |seed| {
            Reader::open(root)?.query(
                &root.join(format!("cat/{seed}.ppm")),
                6,
                &Limits::default(),
                &EdgeRule::default(),
            )
        };
        Ok(format!("{:?} {:?}", query(0)?, query(3)?))
    }),
    ("debug neighbors", |root| {
        let reader = Reader::open(root)?;
        let neighbors =
            |seed| reader.neighbors(format!("cat/{seed}.ppm").as_bytes(), &EdgeRule::default());
        Ok(format!(
            "{:?}",
            (0..5).map(neighbors).collect::<Result<Vec<_>>>()?
        ))
    }),
    ("check", |root| {
        let item = |name: String| CheckItem {
            file: root.join(&name),
            path: name.as_bytes().into(),
            inside: true,
        };
        let items = (0..5)
            .map(|seed| format!("cat/{seed}.ppm"))
            .chain(["dog/5.ppm".to_owned()])
            .map(item)
            .collect();
        Ok(format!(
            "{:?}",
            Reader::open(root)?.check(items, &CheckOptions::default(), &Silent)?
        ))
    }),
    ("groups", |root| {
        Ok(format!(
            "{:?}",
            Reader::open(root)?.groups(&EdgeRule::default(), &Silent)?
        ))
    }),
    ("outliers", |root| {
        Ok(format!(
            "{:?}",
            Reader::open(root)?.outliers(Isolation::Distance, 6, &Silent)?
        ))
    }),
    ("watch events", |root| {
        let mut all = String::new();
        events(root, 0, &mut |number, line| {
            all += &format!("{number} {}\n", String::from_utf8_lossy(line));
            Ok(())
        })?;
        Ok(all)
    }),
];

fn answers(root: &Path) -> Vec<String> {
    READERS
        .iter()
        .map(|(name, read)| read(root).unwrap_or_else(|e| panic!("{name}: {e}")))
        .collect()
}

/// The files of the index, by their paths in it.
fn files(index: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![index.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(index).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

struct Campaign {
    tree: tempfile::TempDir,
    good: tempfile::TempDir,
    right: Vec<String>,
    all: bool,
    /// By reader: right answers, and errors.
    counts: BTreeMap<&'static str, [u64; 2]>,
    mended: u64,
    /// Messages without their numbers that were mended once.
    seen: BTreeSet<String>,
    failures: Vec<String>,
}

impl Campaign {
    fn new() -> Self {
        let (tree, good) = (small(), tempfile::tempdir().unwrap());
        copy_folder(&tree.path().join(".wsidx"), good.path(), &[]);
        let right = answers(tree.path());
        let all = std::env::var_os("WSIDX_DAMAGE").is_some_and(|value| value == "all");
        Self {
            tree,
            good,
            right,
            all,
            counts: BTreeMap::new(),
            mended: 0,
            seen: BTreeSet::new(),
            failures: Vec::new(),
        }
    }

    fn index(&self) -> PathBuf {
        self.tree.path().join(".wsidx")
    }

    fn restore(&self) {
        fs::remove_dir_all(self.index()).unwrap();
        copy_folder(self.good.path(), &self.index(), &[]);
    }

    /// A file with these bytes, or none: what readers make of it.
    fn damage(&mut self, file: &Path, bytes: Option<&[u8]>, what: &str) {
        let path = self.index().join(file);
        let harm = || match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        };
        harm();
        let mut to_mend = BTreeSet::new();
        for (i, (name, read)) in READERS.into_iter().enumerate() {
            let count = self.counts.entry(name).or_default();
            match read(self.tree.path()) {
                Ok(answer) if answer == self.right[i] => count[0] += 1,
                // The last batch, cut off, looks like one that was never finished: of events fewer
                // may be told.
                Ok(answer) if name == "watch events" && self.right[i].starts_with(&answer) => {
                    count[0] += 1;
                }
                Ok(_) => self
                    .failures
                    .push(format!("{} {what}: {name} answers wrongly", file.display())),
                Err(error) => {
                    count[1] += 1;
                    let error = error.to_string();
                    if names_a_remedy(&error) && !commands_in(&error).is_empty() {
                        to_mend.insert(error);
                    } else {
                        self.failures.push(format!(
                            "{} {what}: {name} names no command: {error}",
                            file.display()
                        ));
                    }
                }
            }
        }
        for error in to_mend {
            let kind: String = error.chars().filter(|c| !c.is_ascii_digit()).collect();
            if self
                .seen
                .insert(format!("{} {kind}", file.parent().unwrap().display()))
                || self.all
            {
                self.restore();
                harm();
                self.mend(file, what, &error);
            }
        }
        // Files that only writers read are mended by the next of them.
        let is_writers =
            bytes.is_none() || file.starts_with("catalog") || file.components().count() == 1;
        if is_writers && (self.all || what.ends_with('7') || bytes.is_none()) {
            self.restore();
            harm();
            self.mend(file, what, "`wsidx sync`");
        }
        match self.mended {
            0 => fs::write(&path, fs::read(self.good.path().join(file)).unwrap()).unwrap(),
            _ => self.restore(),
        }
    }

    /// Runs what the message names, and then all is right.
    fn mend(&mut self, file: &Path, what: &str, error: &str) {
        self.mended += 1;
        let root = self.tree.path();
        let mut said = String::new();
        for command in commands_in(error) {
            let run = wsidx(root, command.split(' ').skip(1));
            said = format!(
                "{command}: {:?} {}{}",
                run.status,
                run.stdout.trim(),
                run.stderr.trim()
            );
            if run.status != Some(0) && command != "wsidx verify" {
                return self
                    .failures
                    .push(format!("{} {what}: {error}: {said}", file.display()));
            }
        }
        for (i, (name, read)) in READERS.into_iter().enumerate() {
            match read(root) {
                Ok(answer) if answer == self.right[i] || name == "watch events" => {}
                Ok(_) => self.failures.push(format!(
                    "{} {what}: after mending {name} answers wrongly ({error}; {said})",
                    file.display()
                )),
                Err(e) => self.failures.push(format!(
                    "{} {what}: after mending {name} fails: {e} ({error}; {said})",
                    file.display()
                )),
            }
        }
        let verified = wsidx(root, ["verify"]);
        if verified.status != Some(0) {
            self.failures.push(format!(
                "{} {what}: after mending: {}{} ({error}; {said})",
                file.display(),
                verified.stdout,
                verified.stderr
            ));
        }
    }
}

/// The kinds of damage of one byte: what it is called, and the bytes of the file.
fn damages(good: &[u8], at: usize) -> [(String, Vec<u8>); 3] {
    let with = |byte: u8| [&good[..at], &[byte], &good[at + 1..]].concat();
    [
        (format!("flip {at}"), with(good[at] ^ 0x55)),
        (format!("zero {at}"), with(0)),
        (format!("cut {at}"), good[..at].to_vec()),
    ]
}

#[test]
fn every_byte_of_the_index_damaged_gives_the_right_answer_or_an_error_whose_commands_mend_it() {
    let mut campaign = Campaign::new();
    let mut damaged = 0;
    for file in files(campaign.good.path()) {
        let good = fs::read(campaign.good.path().join(&file)).unwrap();
        // What follows the last byte that is not zero is room that the catalog has taken in
        // advance.
        let used = good
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        let step = if campaign.all {
            1
        } else {
            used.div_ceil(SAMPLED).max(1)
        };
        for (what, bytes) in (0..used).step_by(step).flat_map(|at| damages(&good, at)) {
            if bytes != good {
                campaign.damage(&file, Some(&bytes), &what);
                damaged += 1;
            }
        }
        campaign.damage(&file, None, "removed");
        damaged += 1;
    }
    println!(
        "{damaged} damaged indexes, {} mended; {} kinds of messages",
        campaign.mended,
        campaign.seen.len()
    );
    for (name, [right, errors]) in &campaign.counts {
        println!("| {name} | {right} | {errors} |");
    }
    campaign
        .failures
        .iter()
        .for_each(|why| eprintln!("FAILED {why}"));
    let failures = &campaign.failures;
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures
            .iter()
            .take(60)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert!(
        campaign
            .counts
            .values()
            .all(|[right, errors]| *right > 100 && *errors > 10),
        "{:?}",
        campaign.counts
    );
}

#[test]
fn sync_makes_again_whatever_part_of_the_index_is_gone() {
    let campaign = Campaign::new();
    let parts = [
        "view",
        "catalog",
        "packs",
        "format",
        ".gitignore",
        ".dvcignore",
        "CACHEDIR.TAG",
        "lock",
    ];
    let remove = |part: &str| {
        let path = campaign.index().join(part);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    };
    let several = [
        &["view", "catalog"][..],
        &["packs", "catalog"],
        &["packs", "view"],
        &["view", "format"],
        &["packs", "format", "lock"],
        &[".gitignore", "format"],
    ];
    for gone in parts.iter().map(std::slice::from_ref).chain(several) {
        campaign.restore();
        gone.iter().for_each(|part| remove(part));
        wsidx(campaign.tree.path(), ["sync"]).expect(0);
        assert_eq!(answers(campaign.tree.path()), campaign.right, "{gone:?}");
        wsidx(campaign.tree.path(), ["verify"]).expect(0);
        for part in parts {
            assert!(
                campaign.index().join(part).exists(),
                "{part} without {gone:?}"
            );
        }
    }
}

#[test]
fn packs_of_which_some_are_gone_are_read_again_from_the_images() {
    let campaign = Campaign::new();
    let packs = campaign.index().join("packs");
    // A writer that finds a torn tail begins a second pack.
    let first = packs.join("00000001.pack");
    fs::write(&first, [fs::read(&first).unwrap(), vec![7; 100]].concat()).unwrap();
    write(campaign.tree.path(), "cat/more.ppm", &ppm(50, SIDE));
    wsidx(campaign.tree.path(), ["sync"]).expect(0);
    let right = answers(campaign.tree.path());
    assert!(packs.join("00000002.pack").exists());
    for gone in ["00000001.pack", "00000002.pack"] {
        let kept = tempfile::tempdir().unwrap();
        copy_folder(&campaign.index(), kept.path(), &[]);
        fs::remove_file(packs.join(gone)).unwrap();
        wsidx(campaign.tree.path(), ["sync"]).expect(0);
        assert_eq!(answers(campaign.tree.path()), right, "{gone}");
        wsidx(campaign.tree.path(), ["verify"]).expect(0);
        fs::remove_dir_all(campaign.index()).unwrap();
        copy_folder(kept.path(), &campaign.index(), &[]);
    }
}

#[test]
fn an_index_that_was_never_finished_is_finished_by_init_and_holds_nothing_of_the_users_up() {
    for keep in [&[][..], &["packs"], &["packs", "view", "catalog"]] {
        let tree = tempfile::tempdir().unwrap();
        write(tree.path(), "cat/0.ppm", &ppm(0, SIDE));
        keep.iter()
            .for_each(|part| fs::create_dir_all(tree.path().join(".wsidx").join(part)).unwrap());
        fs::create_dir_all(tree.path().join(".wsidx")).unwrap();
        assert!(
            wsidx(tree.path(), ["sync"])
                .expect(2)
                .stderr
                .contains("run `wsidx init`"),
            "{keep:?}"
        );
        wsidx(tree.path(), ["init"]).expect(0);
        wsidx(tree.path(), ["sync"]).expect(0);
    }
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), ".wsidx/mine.txt", b"not an index");
    wsidx(tree.path(), ["init"]).expect(2);
    assert!(
        wsidx(tree.path(), ["sync"])
            .expect(2)
            .stderr
            .contains("move the folder away")
    );
    assert!(tree.path().join(".wsidx/mine.txt").exists());
}

/// Everything in backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn a_baseline_or_a_list_of_exceptions_that_cannot_be_used_says_what_to_type_and_that_helps() {
    let tree = small();
    let root = tree.path();
    let baseline = root.join(".wsidx-baseline.json");
    for text in [
        "",
        "{",
        "[]",
        "{\"version\": 2}",
        "{\"version\":1,\"tool\":\"\",\"rule\":\"ssim/1\",\"threshold\":0.9,\"accept\":[],\"pairs\":[]}",
    ] {
        fs::write(&baseline, text).unwrap();
        let said = wsidx(root, ["check", "."]).expect(2).stderr;
        assert!(said.contains(".wsidx-baseline.json: "), "{said}");
        assert_eq!(commands_in(&said), ["wsidx baseline write"], "{said}");
        wsidx(root, ["baseline", "write"]).expect(0);
        wsidx(root, ["check", "."]).expect(0);
    }
    fs::remove_file(&baseline).unwrap();
    std::os::unix::fs::symlink("elsewhere", &baseline).unwrap();
    let said = wsidx(root, ["baseline", "write"]).expect(2).stderr;
    assert!(
        names_a_remedy(&said)
            && said.contains("is a symbolic link")
            && !said.contains("name a file"),
        "{said}"
    );
    fs::remove_file(&baseline).unwrap();
    for text in [
        &b"pair x"[..],
        b"path [",
        b"\xff",
        b"pari 1 2",
        b"image",
        b"path \xe2\x80\xae",
    ] {
        fs::write(root.join(".wsidx-allow"), text).unwrap();
        for arguments in [&["check", "."][..], &["allow", "cat"]] {
            let said = wsidx(root, arguments).expect(2).stderr;
            assert!(
                said.contains(".wsidx-allow:1: ") && names_a_remedy(&said),
                "{said}"
            );
        }
    }
}

#[test]
fn too_few_images_and_too_small_a_rate_for_a_calibration_say_what_to_type() {
    let tree = small();
    let said = wsidx(tree.path(), ["calibrate"]).expect(2).stderr;
    assert!(said.contains("images are too few to calibrate with, which takes at least 200: add images and run `wsidx sync`"), "{said}");
    (10..240).for_each(|seed| write(tree.path(), &format!("cat/{seed}.ppm"), &ppm(seed, SIDE)));
    wsidx(tree.path(), ["sync"]).expect(0);
    for rate in ["0.00000001", "0", "2"] {
        let said = wsidx(tree.path(), ["calibrate", "--rate", rate])
            .expect(2)
            .stderr;
        let commands = commands_in(&said);
        assert!(
            commands.len() == 1 && commands[0].starts_with("wsidx calibrate --rate "),
            "{said}"
        );
        wsidx(tree.path(), commands[0].split(' ').skip(1)).expect(0);
    }
}

#[test]
fn an_index_that_git_tracks_is_refused_with_commands_that_can_be_typed_as_they_are() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("it's my data");
    (0..3).for_each(|seed| write(&root, &format!("set/cat/{seed}.ppm"), &ppm(seed, SIDE)));
    let shell = |line: &str| {
        let mut shell = support::command("sh", &root.join("set"));
        shell.args(["-ec", line]);
        support::run(shell)
    };
    wsidx(&root.join("set"), ["sync", "--init"]).expect(0);
    shell("git init -q ..; git add -f .wsidx; git commit -qm x").expect(0);
    let said = wsidx(&root.join("set"), ["groups"]).expect(2).stderr;
    let commands = quoted(&said);
    assert!(
        commands.len() == 3 && commands[0].contains("rm -r --cached -- set/.wsidx"),
        "{said}"
    );
    commands
        .into_iter()
        .for_each(|line| drop(shell(line).expect(0)));
    wsidx(&root.join("set"), ["groups"]).expect(0);
}

#[test]
fn a_folder_that_is_no_index_is_called_one_by_no_command_and_each_names_the_same_way_out() {
    for (bare, name) in [(false, ".wsidx"), (true, "wsidx")] {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        if bare {
            ["objects", "refs"]
                .iter()
                .for_each(|folder| fs::create_dir(root.join(folder)).unwrap());
            fs::write(root.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        }
        write(root, &format!("{name}/mine.txt"), b"not an index");
        for arguments in [
            &["status"][..],
            &["sync"],
            &["sync", "--init"],
            &["groups"],
            &["verify"],
            &["gc"],
            &["check", "."],
        ] {
            let said = wsidx(root, arguments).expect(2).stderr;
            assert!(
                said.contains("is not a wsidx index") && said.contains("move the folder away"),
                "{arguments:?}: {said}"
            );
            assert_eq!(
                commands_in(&said),
                ["wsidx sync --init"],
                "{arguments:?}: {said}"
            );
        }
        assert!(root.join(name).join("mine.txt").exists());
        if !bare {
            write(root, "cat/0.ppm", &ppm(0, SIDE));
            fs::rename(root.join(name), root.join("moved")).unwrap();
            wsidx(root, ["sync", "--init"]).expect(0);
        }
    }
}

#[test]
fn where_it_cannot_be_read_who_made_an_index_commands_work_and_say_what_to_set() {
    let tree = small();
    let state = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("wsidx", state.path().join("wsidx")).unwrap();
    let run = |arguments: &[&str], set: &[(&str, &Path)]| {
        let mut program = support::command(support::PROGRAM, tree.path());
        program
            .env("XDG_STATE_HOME", state.path())
            .args(arguments)
            .envs(set.iter().copied());
        support::run(program)
    };
    let said = run(&["groups"], &[]).expect(0).stderr;
    assert!(
        said.contains("it cannot be read whether")
            && said.contains("set XDG_STATE_HOME to a folder of yours"),
        "{said}"
    );
    run(&["groups", "--strict"], &[]).expect(2);
    let said = run(&["trust"], &[]).expect(2).stderr;
    assert!(
        said.contains(
            "set XDG_STATE_HOME to a folder in which you can write, then run the command again"
        ),
        "{said}"
    );
    let other = tempfile::tempdir().unwrap();
    run(&["trust"], &[("XDG_STATE_HOME", other.path())]).expect(0);
    run(&["groups", "--strict"], &[("XDG_STATE_HOME", other.path())]).expect(0);
    run(&["groups", "--strict"], &[("WSIDX_TRUST", tree.path())]).expect(0);
}
