//! The texts that a repository holds for wsidx: `wsidx.toml`, `.wsidx-allow`,
//! `.wsidx-baseline.json`, and the settings of an index.
//!
//! Held: what is read and written again is read as the same; a policy that is edited says the new
//! and keeps the rest.

use wsidx::{
    similarity::EdgeRule,
    store::{alias, settings::Settings},
    verdict::{Baseline, Exceptions, Rules, set_calibration},
};

use crate::{joined, within};

const MEMORY: usize = 128 << 20;

/// The first byte selects what is read.
pub fn run(data: &[u8]) {
    let Some((&select, data)) = data.split_first() else { return };
    within(MEMORY, || match select % 5 {
        0 => policy(data),
        1 => exceptions(data),
        2 => baseline(data),
        3 => settings(data),
        _ => {
            if let Some(aliases) = alias::unpack_aliases(data) {
                assert_eq!(alias::pack_aliases(&aliases), data);
            }
        }
    });
}

fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (read, edited) = (Rules::from_toml(text), set_calibration(text, 0.812, 0.001));
    let Ok(read) = read else {
        assert!(edited.is_err(), "what is no policy was edited");
        return;
    };
    let Ok(edited) = edited else { return };
    let again = Rules::from_toml(&edited).expect("what was written can be read");
    assert!(again.is_calibrated() && again.edges.threshold == 0.812);
    assert_eq!((&again.check, again.index, again.edges.accept), (&read.check, read.index, read.edges.accept));
    assert_eq!(set_calibration(&edited, 0.812, 0.001).expect("it can be edited again"), edited, "the second edit changes something");
}

fn exceptions(data: &[u8]) {
    let Ok(read) = Exceptions::parse(data) else { return };
    let lines: Vec<String> = read.all().iter().map(|exception| exception.subject.line(&exception.reason)).collect();
    let again = Exceptions::parse(lines.join("\n").as_bytes()).expect("what was written can be read");
    assert_eq!(again.all().len(), read.all().len());
    for (one, other) in read.all().iter().zip(again.all()) {
        assert_eq!((&one.subject, &one.reason), (&other.subject, &other.reason));
        assert!(again.has(&one.subject));
    }
    assert!(read.more_than(&[again]).is_empty());
    for path in [&b"train/cat/a.png"[..], b"a", b"", b"a/b/c/d/e/f/g.png", b"\xff/\n", &[b'a'; 500]] {
        for place in read.of_file(path, Some(&[0xaa; 32])) {
            assert!(place < read.all().len());
        }
    }
}

fn baseline(data: &[u8]) {
    let rule = EdgeRule::default();
    let _ = Baseline::parse(data, &rule);
    let Ok(read) = Baseline::parse_of_any_rule(data) else { return };
    let text = read.to_text(&rule).expect("it is small");
    assert_eq!(Baseline::parse(text.as_bytes(), &rule).expect("what was written can be read"), read);
}

fn settings(data: &[u8]) {
    let Ok(read) = Settings::from_text(data) else { return };
    assert_eq!(Settings::from_text(read.to_text().as_bytes()).expect("what was written can be read"), read);
    let (shape, layout) = (read.shape(), read.layout());
    assert_eq!(layout.len(), shape.len());
    assert_eq!(read.wavelet().name(), read.wavelet);
}

/// Texts with everything in them.
pub fn seeds() -> Vec<Vec<u8>> {
    let toml = "# mine\n[check]\nreject = [\"redundant\", \"leak\"]\nwarn = [\"anomaly\"]\n[edges]\nthreshold = 0.7 # so\naccept = [\"crop\", \"photometric\"]\n[index]\ncrops = true\n";
    let edited = set_calibration(toml, 0.7, 0.01).expect("a policy");
    let (a, b) = ("aa".repeat(32), "bb".repeat(32));
    let allow = format!("# head\n\npair {a} {b}  # taken twice\r\nimage {a}\npath train/{{a,b}}/**/[!x]*.png # scans\n");
    let baseline = Baseline::new([([1; 32], [2; 32])]).to_text(&EdgeRule::default()).expect("it is small");
    let settings = "size = 32\nplanes = 3\nwavelet = \"haar\"\nneighbors = 16\nmax_features = 128\n";
    vec![
        joined(0, &[toml.as_bytes()]),
        joined(0, &[edited.as_bytes()]),
        joined(0, &[b"edges = { threshold = 0.5 }\n"]),
        joined(0, &[b"edges.threshold = 0.5\ncheck.warn = []\n"]),
        joined(1, &[allow.as_bytes()]),
        joined(2, &[baseline.as_bytes()]),
        joined(3, &[settings.as_bytes()]),
        joined(4, &[&[[1; 21].as_slice(), &[2; 33], &[3; 33], &[4; 17]].concat()]),
    ]
}
