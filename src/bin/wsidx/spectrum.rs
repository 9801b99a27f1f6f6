//! `wsidx spectrum`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use serde::Serialize;
use wsidx::{
    Error,
    file::Content,
    index::Reader,
    monitor::Monitor,
    spectral::{Laplacian, density, gaps_above, largest_gap, spectrum},
};

use crate::{
    Exit, Outcome,
    args::{Format, Spectrum},
    draw,
    json::{self, Decimal},
    place,
    session::Session,
    term,
};

/// Components of up to so many vertices are factorised.
const MOST_EXACT: usize = 2_048;
/// Statistical error of an estimate.
const TOLERANCE: f64 = 0.004;
/// Points of the cumulative distribution in JSON.
const POINTS: usize = 100;

struct Found {
    source: String,
    spectrum: wsidx::spectral::Spectrum,
    /// The largest value that is there, or that may be.
    largest: f64,
    /// An estimate of a spectrum that is exact: vectors used, said error, error.
    checked: Option<(usize, f64, f64)>,
}

pub(crate) fn run(session: &Session, args: &Spectrum) -> Outcome {
    let plot = place::output("--plot", args.plot.as_deref(), Content::Svg)?;
    let reader = session.reader(args.select.paths.first().map(PathBuf::as_path))?;
    let monitor = session.monitor(args.output.format);
    let found = find(&reader, args, &monitor)?;
    drop(monitor);
    if let Some(out) = &plot {
        let title = format!(
            "{} Laplacian of {} vertices: {}",
            args.laplacian.name(),
            found.spectrum.vertices,
            found.source
        );
        out.write(draw::spectrum_svg(&found.spectrum, found.largest, &title).as_bytes())?;
    }
    match args.output.format {
        Format::Text => text(&found, args)?,
        format => json::write(&to_json(&found, args), format)?,
    }
    Ok(Exit::Fine)
}

fn find(reader: &Reader, args: &Spectrum, monitor: &dyn Monitor) -> Result<Found, Error> {
    let images = reader.images(&args.select.selection(reader)?)?;
    let (source, laplacian) = if args.edges {
        let graph = reader.content_graph(&images, &reader.rules()?.edges)?;
        (
            "near-duplicates".to_owned(),
            Laplacian::sparse(graph.images.len(), &graph.edges, args.laplacian)?,
        )
    } else {
        let matrix = args
            .measure
            .matrix(&reader.frames(&images, monitor)?, monitor)?;
        (
            args.measure.to_string(),
            Laplacian::dense(matrix.view(), args.laplacian)?,
        )
    };
    let spectrum = spectrum(&laplacian, MOST_EXACT, TOLERANCE, monitor)?;
    let largest = spectrum
        .values()
        .and_then(|values| values.last().copied())
        .unwrap_or_else(|| laplacian.bound());
    let mut found = Found {
        source,
        spectrum,
        largest,
        checked: None,
    };
    if let (true, Some(exact)) = (args.estimate, found.spectrum.values()) {
        let estimate = density(&laplacian, TOLERANCE, monitor)?;
        found.checked = Some((
            estimate.probes,
            estimate.error,
            estimate.error_against(exact),
        ));
    }
    Ok(found)
}

#[derive(Serialize)]
struct SpectrumJson {
    schema: &'static str,
    source: String,
    laplacian: &'static str,
    vertices: usize,
    components: usize,
    eigenvalues: Option<Vec<Decimal>>,
    gamma: Decimal,
    gaps_above_gamma: Option<usize>,
    largest_gap_after: Option<usize>,
    error: Decimal,
    cumulative: Vec<[Decimal; 2]>,
    estimate: Option<EstimateJson>,
}

/// What an estimate would have given where the spectrum is known.
#[derive(Serialize)]
struct EstimateJson {
    vectors: usize,
    said: Decimal,
    error: Decimal,
}

fn to_json(found: &Found, args: &Spectrum) -> SpectrumJson {
    let spectrum = &found.spectrum;
    let point = |i: usize| {
        let value = found.largest * i as f64 / POINTS as f64;
        [Decimal(value), Decimal(spectrum.cumulative(value))]
    };
    SpectrumJson {
        schema: "wsidx.spectrum/1",
        source: found.source.clone(),
        laplacian: args.laplacian.name(),
        vertices: spectrum.vertices,
        components: spectrum.components,
        eigenvalues: spectrum
            .values()
            .map(|values| values.iter().copied().map(Decimal).collect()),
        gamma: Decimal(args.gamma),
        gaps_above_gamma: spectrum
            .values()
            .map(|values| gaps_above(values, args.gamma)),
        largest_gap_after: spectrum
            .values()
            .map(|values| largest_gap(values, values.len())),
        error: Decimal(spectrum.error()),
        cumulative: (0..=POINTS).map(point).collect(),
        estimate: found.checked.map(|(vectors, said, error)| EstimateJson {
            vectors,
            said: Decimal(said),
            error: Decimal(error),
        }),
    }
}

fn text(found: &Found, args: &Spectrum) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let spectrum = &found.spectrum;
    writeln!(out, "similarities  {}", found.source)?;
    writeln!(
        out,
        "graph         {} in {}",
        term::counted(spectrum.vertices as u64, "vertex", "vertices"),
        term::counted(spectrum.components as u64, "component", "components")
    )?;
    writeln!(out, "Laplacian     {}", args.laplacian.name())?;
    match spectrum.values() {
        Some(values) => exact(&mut out, values, args.gamma)?,
        None => {
            let estimated: usize = spectrum.estimated.iter().map(|(n, _)| n).sum();
            let (known, error) = (
                term::count(spectrum.exact.len() as u64),
                100.0 * spectrum.error(),
            );
            writeln!(
                out,
                "eigenvalues   {known} exactly, the distribution of {} within {error:.2} %",
                term::count(estimated as u64)
            )?;
        }
    }
    for share in [10, 25, 50, 75, 90] {
        writeln!(
            out,
            "{share:>9} %   up to {:.4}",
            quantile(found, f64::from(share) / 100.0)
        )?;
    }
    if let Some((vectors, said, error)) = found.checked {
        let [said, error] = [said, error].map(|share| 100.0 * share);
        writeln!(
            out,
            "estimate      {error:.2} % from the exact distribution ({said:.2} % said, {vectors} vectors)"
        )?;
    }
    Ok(())
}

fn exact(out: &mut impl io::Write, values: &[f64], gamma: f64) -> io::Result<()> {
    let (first, last) = (
        values.first().copied().unwrap_or(0.0),
        values.last().copied().unwrap_or(0.0),
    );
    writeln!(out, "eigenvalues   {first:.4} to {last:.4}")?;
    let shown: Vec<String> = values
        .iter()
        .take(8)
        .map(|value| format!("{value:.4}"))
        .collect();
    writeln!(
        out,
        "smallest      {}{}",
        shown.join(", "),
        if values.len() > 8 { ", …" } else { "" }
    )?;
    writeln!(
        out,
        "gaps          {} above {gamma}",
        gaps_above(values, gamma)
    )?;
    writeln!(
        out,
        "largest gap   after eigenvalue {}",
        largest_gap(values, values.len())
    )
}

/// The value up to which a share of the eigenvalues lies.
fn quantile(found: &Found, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, found.largest);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if found.spectrum.cumulative(middle) >= share {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}
