//! `wsidx debug`: a window on each stage.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;
use wsidx::{
    Error,
    dataset::{Buffer, Images, input_at},
    file::{Content, Output},
    index::{Analysis, AnalysisOptions, Reader, Selection, Transform},
    picture::{Picture, decode},
    wavelet::{Coefficients, Layout, Subband},
};

use crate::{
    Exit, Outcome,
    args::{Debug, Format, Stage},
    draw,
    json::{self, Decimal},
    place, query,
    session::Session,
    term::{self, Column, Table},
};

pub(crate) fn run(session: &Session, args: &Debug) -> Outcome {
    match &args.stage {
        Stage::Picture { image, out } => {
            let out = Output::new("--out", out, Content::Png, input_at)?;
            picture(&session.reader(Some(image))?, image, &out)?;
        }
        Stage::Coefficients { image, all } => {
            coefficients(&session.reader(Some(image))?, image, *all)?;
        }
        Stage::Neighbors { image } => neighbors(&session.reader(Some(image))?, image)?,
        Stage::Basis {
            split,
            label,
            wavelet,
            levels,
            tau,
            tolerance,
            output,
        } => {
            let selection = Selection {
                split: split.as_deref().map(str::parse).transpose()?,
                label: label.as_ref().map(|label| label.clone().into_bytes()),
                under: Vec::new(),
            };
            let transform = Transform {
                wavelet: wavelet.as_deref().map(str::parse).transpose()?,
                levels: *levels,
            };
            let options = AnalysisOptions {
                transform,
                tau: *tau,
                tolerance: *tolerance,
            };
            let monitor = session.monitor(output.format);
            let analysis = session
                .reader(None)?
                .analyse(&selection, &options, &monitor)?;
            drop(monitor);
            basis(&analysis, &options, output.format)?;
        }
    }
    Ok(Exit::Fine)
}

/// The standardised picture of a file.
fn standardised(reader: &Reader, image: &Path) -> Result<Picture, Error> {
    let mut buffer = Buffer::default();
    let name = |e| match e {
        Error::Undecodable(reason) => Error::Input(format!("{}: {reason}", image.display())),
        other => other,
    };
    let limits = reader.limits();
    Images::default()
        .read(image, &limits, &mut buffer)
        .map_err(name)?;
    Ok(decode(&buffer.bytes, reader.settings().shape(), &limits)
        .map_err(name)?
        .picture)
}

/// Writes the standardised picture of a file.
fn picture(reader: &Reader, image: &Path, out: &Output) -> Result<(), Error> {
    let picture = standardised(reader, image)?;
    let side = u32::from(picture.shape().size);
    let pixels = side as usize * side as usize;
    if picture.shape().planes == 1 {
        let grey = image::GrayImage::from_raw(side, side, picture.samples().to_vec())
            .expect("a sample for each pixel");
        return draw::write_png(out, &grey.into());
    }
    let rgb = (0..pixels)
        .flat_map(|i| {
            [
                picture.plane(0)[i],
                picture.plane(1)[i],
                picture.plane(2)[i],
            ]
        })
        .collect();
    draw::write_png(
        out,
        &image::RgbImage::from_raw(side, side, rgb)
            .expect("three samples for each pixel")
            .into(),
    )
}

fn subband_name(subband: Subband) -> &'static str {
    match subband {
        Subband::LL => "LL",
        Subband::LH => "LH",
        Subband::HL => "HL",
        Subband::HH => "HH",
    }
}

fn coefficients(reader: &Reader, image: &Path, all: bool) -> Result<(), crate::Failure> {
    let picture = standardised(reader, image)?;
    let settings = reader.settings();
    let layout: Layout = settings.layout();
    let coefficients = Coefficients::<f64>::of(
        picture.samples(),
        settings.size,
        settings.planes,
        settings.wavelet(),
        None,
    );
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let values = &coefficients.values;
    if all {
        writeln!(out, "plane\tlevel\tsubband\trow\tcolumn\tvalue")?;
        for index in layout.coarse_to_fine() {
            let band = layout.band(index);
            let name = subband_name(band.subband);
            writeln!(
                out,
                "{}\t{}\t{name}\t{}\t{}\t{:.6}",
                band.plane, band.level, band.row, band.col, values[index]
            )?;
        }
        out.flush()?;
        return Ok(());
    }
    let mut energy: Vec<((u8, u8, &str), f64, usize)> = Vec::new();
    for index in layout.coarse_to_fine() {
        let band = layout.band(index);
        let key = (band.plane, band.level, subband_name(band.subband));
        match energy.iter_mut().find(|e| e.0 == key) {
            Some((_, sum, count)) => {
                (*sum, *count) = (*sum + values[index] * values[index], *count + 1);
            }
            None => energy.push((key, values[index] * values[index], 1)),
        }
    }
    let total: f64 = energy.iter().map(|e| e.1).sum();
    let columns = [
        Column::right("plane"),
        Column::right("level"),
        Column::left("subband"),
        Column::right("coefficients"),
        Column::right("energy"),
    ];
    let mut table = Table::new(columns);
    for ((plane, level, name), sum, count) in energy {
        let share = if total > 0.0 {
            100.0 * sum / total
        } else {
            0.0
        };
        table.row([
            plane.to_string().into(),
            level.to_string().into(),
            name.into(),
            count.to_string().into(),
            format!("{share:.3} %").into(),
        ]);
    }
    table.write(&mut out, term::width())?;
    out.flush()?;
    Ok(())
}

fn neighbors(reader: &Reader, image: &Path) -> Result<(), crate::Failure> {
    let path = place::inside(reader.root(), image)?;
    let list = reader.neighbors(&path, &reader.rules()?.edges)?;
    query::table(&list).write(&mut anstream::stdout().lock(), term::width())?;
    Ok(())
}

#[derive(Serialize)]
struct BasisJson {
    schema: &'static str,
    images: usize,
    distinct: usize,
    coefficients: usize,
    zero_columns: usize,
    condition: Option<Decimal>,
    rank: usize,
    columns: usize,
    by_subband: Vec<SubbandJson>,
}

#[derive(Serialize)]
struct SubbandJson {
    plane: u8,
    level: u8,
    subband: &'static str,
    chosen: usize,
    of: usize,
}

fn basis(
    analysis: &Analysis,
    options: &AnalysisOptions,
    format: Format,
) -> Result<(), crate::Failure> {
    if format != Format::Text {
        let by_subband = analysis
            .by_subband
            .iter()
            .map(|&(plane, level, subband, chosen, of)| SubbandJson {
                plane,
                level,
                subband: subband_name(subband),
                chosen,
                of,
            });
        let json = BasisJson {
            schema: "wsidx.basis/1",
            images: analysis.images,
            distinct: analysis.distinct,
            coefficients: analysis.coefficients,
            zero_columns: analysis.zero_columns,
            condition: analysis
                .condition
                .is_finite()
                .then_some(Decimal(analysis.condition)),
            rank: analysis.rank,
            columns: analysis.columns,
            by_subband: by_subband.collect(),
        };
        json::write(&json, format)?;
        return Ok(());
    }
    let mut out = anstream::stdout().lock();
    let same = analysis.images - analysis.distinct;
    writeln!(
        out,
        "W                 {} images × {} coefficients",
        term::count(analysis.images as u64),
        term::count(analysis.coefficients as u64)
    )?;
    writeln!(
        out,
        "identical images  {} beyond the first of their kind",
        term::count(same as u64)
    )?;
    writeln!(out, "zero columns      {}", analysis.zero_columns)?;
    writeln!(out, "condition number  {:.6e}", analysis.condition)?;
    writeln!(
        out,
        "numerical rank    {} at tolerance {:e}",
        analysis.rank, options.tolerance
    )?;
    writeln!(
        out,
        "leading columns   {} with a condition number below {:e}\n",
        analysis.columns, options.tau
    )?;
    let columns = [
        Column::right("plane"),
        Column::right("level"),
        Column::left("subband"),
        Column::right("chosen"),
        Column::right("of"),
    ];
    let mut table = Table::new(columns);
    for &(plane, level, subband, chosen, of) in &analysis.by_subband {
        let cells = [
            plane.to_string(),
            level.to_string(),
            subband_name(subband).to_owned(),
            chosen.to_string(),
            of.to_string(),
        ];
        table.row(cells.map(Into::into));
    }
    table.write(&mut out, term::width())?;
    Ok(())
}
