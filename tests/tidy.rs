//! The rules of the house, held by a machine: layers, heads, the map of modules, paths,
//! `unsafe`, the list of samples.
//!
//! Every rule is a function from files to complaints of the form `file:line: what`, tried on
//! made-up files at the end. The source is read with its comments and literals blanked out
//! ([`code_only`]) and otherwise as text: good enough for code that `rustfmt` has laid out, and
//! blind to what macros make.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The rooms of the library from low to high: each may import only those before it.
const ROOMS: &[&str] = &[
    "error",
    "guard",
    "file",
    "monitor",
    "picture",
    "wavelet",
    "rrqr",
    "feature",
    "knn",
    "similarity",
    "graph",
    "spectral",
    "cluster",
    "verdict",
    "reduce",
    "store",
    "dataset",
    "index",
];
/// The only files that may hold the word `unsafe`: SIMD kernels, the memory map, and the call of
/// libjpeg-turbo in the fuzz targets.
const UNSAFE_FILES: &[&str] = &[
    "src/knn/kernel_amx.rs",
    "src/knn/kernel_avx2.rs",
    "src/knn/kernel_neon.rs",
    "src/knn/kernel_vnni.rs",
    "src/similarity/register/slide.rs",
    "src/similarity/register/slide_vnni.rs",
    "src/similarity/register/sums.rs",
    "src/similarity/wide.rs",
    "src/store/medium/bytes.rs",
    "tests/fuzz/src/libjpeg.rs",
];
/// The only files that may open files by their paths: all else goes through `src/file`. Those of
/// the index look after files that they made.
const FILE_FILES: &[&str] = &[
    "src/file/mod.rs",
    "src/file/write.rs",
    "src/index/init.rs",
    "src/index/restore.rs",
    "src/store/medium/folder.rs",
];
/// What opens a file by its path.
const OPENERS: &[&str] = &[
    "fs::read",
    "fs::read_to_string",
    "fs::write",
    "fs::copy",
    "File::open",
    "File::create",
    "File::create_new",
    "File::options",
    "OpenOptions",
    "openat",
    "from_path",
    "save_with_format",
];
/// A file: its path from the root of the repository with `/`, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The room that a file of the library belongs to; none for `src/lib.rs`, the program and all
    /// outside `src/`.
    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (!["lib", "bin"].contains(&room)).then_some(room)
    }
}

/// The text of a file with comments, strings and character literals turned into blanks; line breaks
/// stay where they are.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut i) = (String::with_capacity(text.len()), 0);
    while i < chars.len() {
        let length = literal_or_comment(&chars, i);
        let end = (i + length.max(1)).min(chars.len());
        out.extend(
            chars[i..end]
                .iter()
                .map(|&c| if c == '\n' || length == 0 { c } else { ' ' }),
        );
        i = end;
    }
    out
}

/// The number of characters that a comment or a literal beginning at `i` takes; 0 if none begins
/// there.
fn literal_or_comment(chars: &[char], i: usize) -> usize {
    let at = |k: usize| chars.get(i + k).copied().unwrap_or('\0');
    let word_before = i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_');
    match (at(0), at(1)) {
        ('/', '/') => chars[i..]
            .iter()
            .position(|&c| c == '\n')
            .unwrap_or(chars.len() - i),
        ('/', '*') => block_comment(&chars[i..]),
        ('"', _) => quoted(&chars[i..], '"'),
        ('r', '"' | '#') if !word_before || matches!(chars[i - 1], 'b' | 'c') => {
            raw_string(&chars[i..])
        }
        ('\'', '\\') => quoted(&chars[i..], '\''),
        ('\'', _) if at(2) == '\'' => 3,
        _ => 0,
    }
}

fn block_comment(chars: &[char]) -> usize {
    let (mut depth, mut k) = (0, 0);
    while k < chars.len() {
        let step = match chars[k..] {
            ['/', '*', ..] => 1,
            ['*', '/', ..] => -1,
            _ => 0,
        };
        depth += step;
        k += 1 + usize::from(step != 0);
        if depth == 0 {
            break;
        }
    }
    k
}

fn quoted(chars: &[char], quote: char) -> usize {
    let mut k = 1;
    while k < chars.len() && chars[k] != quote {
        k += 1 + usize::from(chars[k] == '\\');
    }
    k + 1
}

fn raw_string(chars: &[char]) -> usize {
    let hashes = chars[1..].iter().take_while(|&&c| c == '#').count();
    if chars.get(1 + hashes) != Some(&'"') {
        return 0; // a raw identifier
    }
    let end: String = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let body: String = chars[2 + hashes..].iter().collect();
    body.find(&end).map_or(chars.len(), |at| {
        2 + hashes + body[..at].chars().count() + end.chars().count()
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Where `word` stands in `code` by itself, not as a part of a longer one.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let runs_on = word.ends_with(inside) && code[at + word.len()..].starts_with(inside);
            !runs_on && !code[..at].ends_with(inside)
        })
}

fn identifier(code: &str) -> &str {
    &code[..code
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(code.len())]
}

/// The names directly under a path: `a` of `a::b`, and `a`, `c` of `{a::b, c}`.
fn first_names(code: &str) -> Vec<&str> {
    let Some(group) = code.strip_prefix('{') else {
        return vec![identifier(code)];
    };
    let (mut depth, mut names, mut fresh) = (0_usize, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if fresh && !c.is_whitespace() => {
                names.push(identifier(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

/// The names that a file takes from the root of its crate, with the place of each: `crate::x`, and
/// `super::x` where that is the root.
fn names_from_root<'a>(file: &File, code: &'a str) -> Vec<(usize, &'a str)> {
    let inside = file
        .path
        .trim_start_matches("src/")
        .trim_end_matches("/mod.rs")
        .trim_end_matches(".rs");
    let depth = inside.split('/').count();
    let mut found = Vec::new();
    for at in words(code, "crate::") {
        found.extend(
            first_names(&code[at + 7..])
                .into_iter()
                .map(|name| (at, name)),
        );
    }
    for at in words(code, "super::").filter(|&at| !code[..at].ends_with("super::")) {
        let tail = code[at..].trim_start_matches("super::");
        let steps = (code.len() - at - tail.len()) / 7;
        if steps >= depth + inline_modules(&code[..at]) {
            found.extend(first_names(tail).into_iter().map(|name| (at, name)));
        }
    }
    found
}

/// How many `mod x {` are open at the end of `code`.
fn inline_modules(code: &str) -> usize {
    let opens = |at: usize| {
        code[at + 4..]
            .trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
            .starts_with(" {")
    };
    words(code, "mod ")
        .filter(|&at| opens(at))
        .filter(|&at| code[at..].matches('{').count() > code[at..].matches('}').count())
        .count()
}

/// What `src/lib.rs` exports again under a shorter name: name → room.
fn exported_again(files: &[File]) -> BTreeMap<String, String> {
    let Some(lib) = files.iter().find(|file| file.path == "src/lib.rs") else {
        return BTreeMap::new();
    };
    let code = code_only(&lib.text);
    let mut names = BTreeMap::new();
    for at in words(&code, "pub use ") {
        let path = &code[at + 8..];
        let room = identifier(path);
        let end = path.find(';').unwrap_or(path.len());
        let (_, tail) = path[..end].split_once("::").unwrap_or_default();
        for name in tail
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|name| !name.is_empty())
        {
            names.insert(name.to_owned(), room.to_owned());
        }
    }
    names
}

fn layers(files: &[File], order: &[&str]) -> Vec<String> {
    let again = exported_again(files);
    let rank = |room: &str| order.iter().position(|&other| other == room);
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some(room) = file.room() else { continue };
        let Some(own) = rank(room) else {
            complaints.push(format!("{}:1: the room `{room}` has no place in the order of layers (ROOMS in tests/tidy.rs)", file.path));
            continue;
        };
        let code = code_only(&file.text);
        for (at, name) in names_from_root(file, &code) {
            let target = again.get(name).map_or(name, String::as_str);
            let place = format!("{}:{}", file.path, line_of(&code, at));
            match rank(target) {
                Some(other) if other <= own => {}
                Some(_) => complaints.push(format!(
                    "{place}: `{room}` imports `{name}`, which lies above it"
                )),
                None => complaints.push(format!(
                    "{place}: `{room}` imports `{name}`, which is no room of the library"
                )),
            }
        }
    }
    complaints
}

fn heads(files: &[File]) -> Vec<String> {
    let headless = |file: &&File| file.is_rust() && !file.text.starts_with("//! ");
    files
        .iter()
        .filter(headless)
        .map(|file| format!("{}:1: does not open with `//! `", file.path))
        .collect()
}

/// The modules that the head of `src/lib.rs` lists, with their lines: list items or rows of a table
/// that begin with a link, ``[`name`]``.
fn mapped(lib: &str) -> BTreeMap<&str, usize> {
    fn entry(line: &str) -> Option<&str> {
        let item = line
            .strip_prefix("//!")?
            .trim_start()
            .strip_prefix(['-', '*', '|'])?;
        let name = item.trim_start().strip_prefix("[`")?.split('`').next()?;
        Some(name.trim_start_matches("crate::"))
    }
    lib.lines()
        .zip(1..)
        .filter_map(|(line, number)| Some((entry(line)?, number)))
        .collect()
}

fn module_map(files: &[File]) -> Vec<String> {
    let Some(lib) = files.iter().find(|file| file.path == "src/lib.rs") else {
        return vec!["src/lib.rs:1: is missing".to_owned()];
    };
    let rooms: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.is_rust())
        .filter_map(File::room)
        .collect();
    let map = mapped(&lib.text);
    let lacking = rooms
        .iter()
        .filter(|room| !map.contains_key(*room))
        .map(|room| format!("src/lib.rs:1: the map of modules lacks `{room}`"));
    let strays = map.iter().filter(|(name, _)| !rooms.contains(*name));
    lacking
        .chain(strays.map(|(name, line)| {
            format!("src/lib.rs:{line}: the map names `{name}`, but src/ has no such module")
        }))
        .collect()
}

fn machine_paths(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for root in ["home", "root", "work"].map(|name| format!("/{name}/")) {
            for (at, _) in file.text.match_indices(&root) {
                if !file.text[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.})".contains(c))
                {
                    complaints.push(format!(
                        "{}:{}: names a path of one machine (`{root}…`)",
                        file.path,
                        line_of(&file.text, at)
                    ));
                }
            }
        }
    }
    complaints
}

fn unsafe_outside(files: &[File], allowed: &[&str]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let code = code_only(&file.text);
        let uses: Vec<usize> = words(&code, "unsafe").collect();
        match (allowed.contains(&file.path.as_str()), uses.first()) {
            (false, Some(_)) => {
                let complain = |&at: &usize| {
                    format!(
                        "{}:{}: `unsafe` outside the files named for it",
                        file.path,
                        line_of(&code, at)
                    )
                };
                complaints.extend(uses.iter().map(complain));
            }
            (true, None) => complaints.push(format!(
                "{}:1: is named for `unsafe` and has none (UNSAFE_FILES in tests/tidy.rs)",
                file.path
            )),
            _ => {}
        }
    }
    let absent = allowed
        .iter()
        .filter(|path| !files.iter().any(|file| file.path == **path));
    complaints.extend(absent.map(|path| {
        format!(
            "{path}:1: is named for `unsafe` and does not exist (UNSAFE_FILES in tests/tidy.rs)"
        )
    }));
    complaints
}

/// Where files of `src/` outside `allowed`, and outside their own tests, open files by their paths.
fn opened_outside(files: &[File], allowed: &[&str]) -> Vec<String> {
    let mut complaints = Vec::new();
    let is_tests = |path: &str| {
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        let above = files.iter().filter(|file| {
            file.path == format!("{folder}/mod.rs") || file.path == format!("{folder}.rs")
        });
        above.into_iter().any(|file| {
            file.text.contains(&format!(
                "#[cfg(test)]\nmod {};",
                name.trim_end_matches(".rs")
            ))
        })
    };
    for file in files
        .iter()
        .filter(|file| file.is_rust() && file.path.starts_with("src/") && !is_tests(&file.path))
    {
        let code = code_only(&file.text);
        let tests = code.match_indices("#[cfg(test)]").find(|(at, _)| {
            code[*at..]
                .lines()
                .nth(1)
                .is_some_and(|next| next.ends_with(" {"))
        });
        let code = &code[..tests.map_or(code.len(), |(at, _)| at)];
        let uses: Vec<(usize, &str)> = OPENERS
            .iter()
            .flat_map(|opener| words(code, opener).map(move |at| (at, *opener)))
            .collect();
        match (allowed.contains(&file.path.as_str()), uses.is_empty()) {
            (false, false) => complaints.extend(uses.iter().map(|(at, opener)| {
                format!(
                    "{}:{}: `{opener}` by itself; read and write through `wsidx::file`",
                    file.path,
                    line_of(code, *at)
                )
            })),
            (true, true) => {
                complaints.push(format!(
                    "{}:1: is named for opening files and opens none (FILE_FILES in tests/tidy.rs)",
                    file.path
                ));
            }
            _ => {}
        }
    }
    let absent = allowed
        .iter()
        .filter(|path| !files.iter().any(|file| file.path == **path));
    complaints.extend(absent.map(|path| {
        format!(
            "{path}:1: is named for opening files and does not exist (FILE_FILES in tests/tidy.rs)"
        )
    }));
    complaints
}

/// Compares the list under "## Files" of `readme` (at `path`), and the files its table names, with
/// those in the folder.
fn listed_samples(path: &str, readme: &str, present: &BTreeSet<String>) -> Vec<String> {
    let (mut listed, mut in_list, mut complaints) = (BTreeSet::new(), false, Vec::new());
    for (i, line) in readme.lines().enumerate() {
        in_list = if line.starts_with('#') {
            line == "## Files"
        } else {
            in_list
        };
        let in_table = line.starts_with('|') && !in_list;
        for name in line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| in_list || (in_table && name.contains('/')))
        {
            if !present.contains(name) {
                complaints.push(format!(
                    "{path}:{}: names `{name}`, which does not exist",
                    i + 1
                ));
            }
            if in_list {
                listed.insert(name);
            }
        }
    }
    let lacking = present
        .iter()
        .filter(|name| !listed.contains(name.as_str()));
    complaints.extend(
        lacking.map(|name| format!("{path}:1: the list under \"## Files\" lacks `{name}`")),
    );
    complaints
}

// The tree as it is.

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The files below `folder`, by path from the root of the repository; without what git does not
/// keep.
fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let entry = entry.expect("a folder can be read to its end");
        let name = entry.file_name();
        if entry.file_type().expect("a file has a type").is_dir() {
            if !["target", ".git", ".venv", ".wsidx", "__pycache__"]
                .iter()
                .any(|skipped| name == *skipped)
            {
                walk(&entry.path(), found);
            }
        } else {
            found.push(
                entry
                    .path()
                    .strip_prefix(ROOT)
                    .expect("it is below the root")
                    .to_str()
                    .expect("names are UTF-8")
                    .replace('\\', "/"),
            );
        }
    }
}

fn every_path() -> Vec<String> {
    let mut found = Vec::new();
    walk(Path::new(ROOT), &mut found);
    found.sort();
    found
}

/// All files that are text.
fn tree() -> Vec<File> {
    let read = |path: String| {
        Some(File {
            text: String::from_utf8(fs::read(Path::new(ROOT).join(&path)).ok()?).ok()?,
            path,
        })
    };
    let files: Vec<File> = every_path().into_iter().filter_map(read).collect();
    assert!(
        files.iter().any(|file| file.path == "src/lib.rs")
            && files.iter().any(|file| file.path == "tests/tidy.rs"),
        "the tree was not found"
    );
    files
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn each_room_imports_only_rooms_below_it() {
    none(&layers(&tree(), ROOMS));
}

#[test]
fn every_file_says_at_its_head_what_it_is() {
    none(&heads(&tree()));
}

#[test]
fn the_map_of_modules_is_the_folder() {
    none(&module_map(&tree()));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    none(&machine_paths(&tree()));
}

#[test]
fn unsafe_stays_in_the_files_named_for_it() {
    none(&unsafe_outside(&tree(), UNSAFE_FILES));
}

#[test]
fn files_are_opened_by_the_one_door_alone() {
    none(&opened_outside(&tree(), FILE_FILES));
}

#[test]
fn the_list_of_samples_is_the_folder() {
    let path = "tests/sample/README.md";
    let text = fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let samples = every_path()
        .into_iter()
        .filter_map(|path| path.strip_prefix("tests/sample/").map(str::to_owned));
    none(&listed_samples(
        path,
        &text,
        &samples.filter(|name| name.contains('/')).collect(),
    ));
}

/// The names of tests in a text: words in backticks with four underscores or more.
fn named_tests(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|word| {
            word.matches('_').count() >= 4
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
        .collect()
}

#[test]
fn every_test_that_the_security_page_names_is_there() {
    let page = fs::read_to_string(Path::new(ROOT).join("SECURITY.md")).unwrap();
    let sources: String = tree()
        .iter()
        .filter(|file| file.is_rust())
        .map(|file| file.text.as_str())
        .collect();
    let names = named_tests(&page);
    assert!(names.len() > 10, "{names:?}");
    let missing: Vec<String> = names
        .iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .map(|name| format!("SECURITY.md: no test {name}"))
        .collect();
    none(&missing);
}

// The rules tried on made-up files.

fn made_up(files: &[(&str, &str)]) -> Vec<File> {
    files
        .iter()
        .map(|&(path, text)| File {
            path: path.to_owned(),
            text: text.to_owned(),
        })
        .collect()
}

#[test]
fn comments_and_literals_are_blanked_and_lines_stay() {
    let source = "a /* x /* y */\n */ b // c\n\"{ \\\" }\" '{' '\\'' 'life r#\"\n \" {\"# br\"\\\" rx\"q\" r#type '\"' é\n";
    let code = code_only(source);
    assert_eq!(
        code.split_whitespace().collect::<Vec<_>>(),
        ["a", "b", "'life", "b", "rx", "r#type", "é"]
    );
    assert_eq!(code.matches('\n').count(), source.matches('\n').count());
    assert_eq!(code.chars().count(), source.chars().count());
}

#[test]
fn an_import_from_above_is_seen_however_it_is_written() {
    let files = made_up(&[
        (
            "src/lib.rs",
            "pub mod low;\npub use high::{High, inner::Deep};\npub use low::Low;\n",
        ),
        (
            "src/low.rs",
            "//! crate::high\nuse crate::{\n    high::x,\n    low::{high, y},\n};\nfn f() { crate::High; crate::Low }\nuse super::high;\n",
        ),
        (
            "src/low/part.rs",
            "use super::high;\nuse super::super::high;\nmod tests {\n    use super::super::high;\n    use super::super::super::Deep;\n}\n",
        ),
        (
            "src/low/more.rs",
            "const A: &str = \"crate::high\"; mycrate::high; use crate::nowhere;\n",
        ),
        (
            "src/high.rs",
            "use crate::{Low, low};\nmod tests { use super::low; }\n",
        ),
        ("src/odd/mod.rs", ""),
        ("src/bin/wsidx/main.rs", "use crate::term;\n"),
    ]);
    assert_eq!(
        layers(&files, &["low", "high"]),
        [
            "src/low.rs:2: `low` imports `high`, which lies above it",
            "src/low.rs:6: `low` imports `High`, which lies above it",
            "src/low.rs:7: `low` imports `high`, which lies above it",
            "src/low/part.rs:2: `low` imports `high`, which lies above it",
            "src/low/part.rs:5: `low` imports `Deep`, which lies above it",
            "src/low/more.rs:1: `low` imports `nowhere`, which is no room of the library",
            "src/odd/mod.rs:1: the room `odd` has no place in the order of layers (ROOMS in tests/tidy.rs)",
        ]
    );
}

#[test]
fn a_file_without_a_head_is_seen() {
    let files = made_up(&[
        ("src/a.rs", "//! A.\n"),
        ("benches/b.rs", "use x;\n//! B.\n"),
        ("c.md", "C"),
    ]);
    assert_eq!(heads(&files), ["benches/b.rs:1: does not open with `//! `"]);
}

#[test]
fn a_map_that_lacks_a_module_or_names_a_stray_is_seen() {
    let lib = "//! Head, [`other`] words.\n//!\n//! - [`here`]: is.\n//! | [`crate::table`] | too |\n//! * [`gone`](self::gone): was.\n";
    let files = made_up(&[
        ("src/lib.rs", lib),
        ("src/here.rs", ""),
        ("src/table/mod.rs", ""),
        ("src/table/part.rs", ""),
        ("src/new.rs", ""),
        ("src/bin/wsidx/main.rs", ""),
    ]);
    assert_eq!(
        module_map(&files),
        [
            "src/lib.rs:1: the map of modules lacks `new`",
            "src/lib.rs:5: the map names `gone`, but src/ has no such module"
        ]
    );
}

#[test]
fn a_path_of_one_machine_is_seen() {
    let text = "ok: src/W/x ~/H/x $(pwd)/W/x\nbad: /H/me and \"/W/x\"\n"
        .replace('H', "home")
        .replace('W', "work");
    let seen = machine_paths(&made_up(&[("a.md", &text)]));
    assert_eq!(
        seen.iter()
            .map(|line| line.split(": ").next().unwrap())
            .collect::<Vec<_>>(),
        ["a.md:1", "a.md:2", "a.md:2"]
    );
}

#[test]
fn unsafe_in_a_file_not_named_for_it_is_seen_and_so_is_a_stale_name() {
    let files = made_up(&[
        (
            "src/a.rs",
            "#![deny(unsafe_code)]\n// unsafe\nfn f() { unsafe { g() } }\n",
        ),
        ("src/b.rs", "unsafe fn f() {}\n"),
        ("src/c.rs", ""),
    ]);
    let seen = unsafe_outside(&files, &["src/b.rs", "src/c.rs", "src/d.rs"]);
    let places: Vec<&str> = seen
        .iter()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(places, ["src/a.rs:3", "src/c.rs:1", "src/d.rs:1"]);
}

#[test]
fn a_file_that_is_opened_beside_the_door_is_seen_and_so_is_a_stale_name() {
    let tests = "#[cfg(test)]\nmod tests {\n    fs::write(x);\n}\n";
    let files = made_up(&[
        (
            "src/a.rs",
            "// fs::read\nuse std::fs::{self, OpenOptions};\nfn f() { fs::read_dir(x); x.read_to_string(y); std::fs::read(x); }\n",
        ),
        ("src/b.rs", tests),
        (
            "src/c/mod.rs",
            "#[cfg(test)]\nmod damage;\n#[cfg(test)]\npub(super) mod tests {\n    fs::write(x);\n}\n",
        ),
        ("src/c/damage.rs", "fn f() { fs::write(x) }\n"),
        ("src/door.rs", "fn f() { File::open(x) }\n"),
        ("src/stale.rs", tests),
        ("tests/c.rs", "fn f() { fs::write(x) }\n"),
    ]);
    let seen = opened_outside(&files, &["src/door.rs", "src/stale.rs", "src/gone.rs"]);
    let places: Vec<&str> = seen
        .iter()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "src/a.rs:3",
            "src/a.rs:2",
            "src/stale.rs:1",
            "src/gone.rs:1"
        ]
    );
}

#[test]
fn a_list_of_samples_that_is_not_the_folder_is_seen() {
    let readme = "# T\n`images/`\n| `new/a.png` | `x` |\n| `new/gone.png` |\n## Files\n- `new/a.png`\n- `new/b.png`\n## More\n- `c`\n";
    let present = ["new/a.png", "new/c.png"].map(str::to_owned).into();
    assert_eq!(
        listed_samples("R.md", readme, &present),
        [
            "R.md:4: names `new/gone.png`, which does not exist",
            "R.md:7: names `new/b.png`, which does not exist",
            "R.md:1: the list under \"## Files\" lacks `new/c.png`"
        ]
    );
}
