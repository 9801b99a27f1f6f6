//! A spectrum → an SVG: how the eigenvalues are distributed (Figure 8 of Yousefzadeh 2020), and
//! their cumulative share above it.

use std::fmt::Write as _;

use wsidx::spectral::Spectrum;

/// Sides of the drawing and of its margin, and the bars, in pixels.
const SIDES: [f64; 2] = [720.0, 420.0];
const MARGIN: f64 = 56.0;
const BARS: usize = 60;

/// The drawing, up to a largest eigenvalue; `title` is escaped.
pub(crate) fn spectrum_svg(spectrum: &Spectrum, largest: f64, title: &str) -> String {
    let step = largest.max(f64::MIN_POSITIVE) / BARS as f64;
    // Eigenvalues at the ends belong to the first and the last bar.
    let edge = |i: usize| {
        if i == 0 {
            -1e-9 * largest.max(1.0)
        } else {
            (i as f64 + 1e-9) * step
        }
    };
    let cumulative: Vec<f64> = (0..=BARS).map(|i| spectrum.cumulative(edge(i))).collect();
    let counts: Vec<f64> = cumulative
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).max(0.0) * spectrum.vertices as f64)
        .collect();
    let most = counts.iter().copied().fold(1.0, f64::max);
    let [width, height] = SIDES.map(|side| side - 2.0 * MARGIN);
    let (x, y) = (
        |i: usize| MARGIN + width * i as f64 / BARS as f64,
        |share: f64| MARGIN + height * (1.0 - share),
    );
    let mut svg = super::open_svg(SIDES, title);
    for (i, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        let top = y(count / most);
        let _ = writeln!(
            svg,
            r##"<rect x="{:.2}" y="{top:.2}" width="{:.2}" height="{:.2}" fill="#3b6ea8"><title>{:.4} to {:.4}: {count:.1}</title></rect>"##,
            x(i),
            width / BARS as f64 - 0.6,
            y(0.0) - top,
            i as f64 * step,
            (i + 1) as f64 * step,
        );
    }
    let line: Vec<String> = cumulative
        .iter()
        .enumerate()
        .map(|(i, share)| format!("{:.2},{:.2}", x(i), y(*share)))
        .collect();
    let _ = writeln!(
        svg,
        r##"<polyline points="{}" fill="none" stroke="#c2571a" stroke-width="1.5"/>"##,
        line.join(" ")
    );
    let _ = writeln!(
        svg,
        r##"<path d="M{MARGIN} {MARGIN}V{:.2}H{:.2}" fill="none" stroke="#333"/>"##,
        y(0.0),
        SIDES[0] - MARGIN
    );
    let mut word = |x: f64, y: f64, anchor: &str, text: &str| {
        let _ = writeln!(
            svg,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        );
    };
    for i in 0..=4 {
        let share = f64::from(i) / 4.0;
        word(
            MARGIN + width * share,
            y(0.0) + 18.0,
            "middle",
            &format!("{:.4}", largest * share),
        );
    }
    word(MARGIN - 6.0, y(1.0) + 4.0, "end", &format!("{most:.0}"));
    word(SIDES[0] - MARGIN + 6.0, y(1.0) + 4.0, "start", "100 %");
    word(
        SIDES[0] / 2.0,
        SIDES[1] - 10.0,
        "middle",
        "eigenvalue (bars: how many; line: share up to it)",
    );
    svg + "</svg>\n"
}
