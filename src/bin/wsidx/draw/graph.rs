//! Similar images → an SVG of their graph, as in Figure 17 of Yousefzadeh 2020: a numbered point
//! for each image, a line for each pair that is similar, and a colour for each cluster.
//!
//! Points with lines are placed by forces: Fruchterman and Reingold 1991, "Graph drawing by
//! force-directed placement" (points repel each other with k²/d, lines draw with d²/k times their
//! similarity, moves are limited by a temperature that falls). Points without lines stand in rows
//! beneath. The start is a spiral, so a graph is always drawn alike.

use std::fmt::Write as _;

use wsidx::Error;

use super::escape_xml;

/// Most points of a drawing.
const MOST_POINTS: usize = 3_000;
/// Most lines of a drawing.
pub(crate) const MOST_LINES: usize = 200_000;
/// Rounds of forces.
const ROUNDS: usize = 200;
/// The ideal distance of points, and the margin, in pixels.
const APART: f64 = 34.0;
const MARGIN: f64 = 40.0;
/// Colours of clusters, in turn (Paul Tol's bright scheme, made for colour-blind eyes).
const COLOURS: [&str; 7] = [
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb",
];

type Point = [f64; 2];

/// What is drawn.
pub(crate) struct Graph<'a> {
    /// A name for each point.
    pub(crate) names: &'a [String],
    /// Two points and their similarity.
    pub(crate) edges: &'a [(u32, u32, f64)],
    /// The cluster of each point; nothing where there are none.
    pub(crate) clusters: &'a [u32],
}

/// The drawing.
///
/// # Errors
/// [`Error::Input`] for more than [`MOST_POINTS`] points or [`MOST_LINES`] lines.
pub(crate) fn graph_svg(graph: &Graph<'_>, title: &str) -> Result<String, Error> {
    let (n, lines) = (graph.names.len(), graph.edges.len());
    if n > MOST_POINTS || lines > MOST_LINES {
        return Err(Error::Input(format!(
            "a drawing of {n} images and {lines} lines shows nothing; select at most {MOST_POINTS} images, and fewer lines by a higher --above"
        )));
    }
    let points = place(n, graph.edges);
    let sides =
        [0, 1].map(|axis| points.iter().map(|p| p[axis]).fold(0.0, f64::max) + 2.0 * MARGIN);
    let mut svg = super::open_svg([sides[0].max(320.0), sides[1]], title);
    let at = |i: usize| points[i].map(|v| v + MARGIN);
    for &(a, b, similarity) in graph.edges {
        let ([x, y], [u, v]) = (at(a as usize), at(b as usize));
        let strength = similarity.clamp(0.0, 1.0);
        let _ = writeln!(
            svg,
            r##"<line x1="{x:.1}" y1="{y:.1}" x2="{u:.1}" y2="{v:.1}" stroke="#555" stroke-opacity="{:.2}" stroke-width="{:.2}"><title>{similarity:.4}</title></line>"##,
            0.15 + 0.7 * strength,
            0.4 + 1.6 * strength
        );
    }
    for (i, name) in graph.names.iter().enumerate() {
        let [x, y] = at(i);
        let colour = COLOURS[graph
            .clusters
            .get(i)
            .map_or(0, |&cluster| cluster as usize % COLOURS.len())];
        let _ = writeln!(
            svg,
            r##"<g><title>{}: {}</title><circle cx="{x:.1}" cy="{y:.1}" r="8" fill="{colour}"/>"##,
            i + 1,
            escape_xml(name)
        );
        let _ = writeln!(
            svg,
            r##"<text x="{x:.1}" y="{:.1}" text-anchor="middle" font-size="7" fill="#fff">{}</text></g>"##,
            y + 2.5,
            i + 1
        );
    }
    Ok(svg + "</svg>\n")
}

/// Where the points are, from (0, 0).
fn place(n: usize, edges: &[(u32, u32, f64)]) -> Vec<Point> {
    let mut linked = vec![false; n];
    edges
        .iter()
        .for_each(|&(a, b, _)| [a, b].iter().for_each(|&v| linked[v as usize] = true));
    let inside: Vec<usize> = (0..n).filter(|&i| linked[i]).collect();
    let mut places = vec![[0.0; 2]; n];
    let mut numbers = vec![0; n];
    inside.iter().enumerate().for_each(|(k, &i)| numbers[i] = k);
    let pairs: Vec<(usize, usize, f64)> = edges
        .iter()
        .map(|&(a, b, s)| (numbers[a as usize], numbers[b as usize], s))
        .collect();
    let drawn = by_forces(inside.len(), &pairs);
    let least = [0, 1].map(|axis| drawn.iter().map(|p| p[axis]).fold(f64::INFINITY, f64::min));
    inside
        .iter()
        .zip(&drawn)
        .for_each(|(&i, p)| places[i] = [p[0] - least[0], p[1] - least[1]]);
    let bottom = places.iter().map(|p| p[1]).fold(0.0, f64::max)
        + if inside.is_empty() { 0.0 } else { 1.5 * APART };
    let in_row = ((n as f64).sqrt() as usize * 2).max(8);
    for (k, i) in (0..n).filter(|&i| !linked[i]).enumerate() {
        places[i] = [
            (k % in_row) as f64 * APART * 0.75,
            bottom + (k / in_row) as f64 * APART * 0.75,
        ];
    }
    places
}

fn by_forces(n: usize, edges: &[(usize, usize, f64)]) -> Vec<Point> {
    // A spiral with equal area for each point (Vogel 1979).
    let spiral = |i: usize| {
        let (radius, angle) = (APART * (i as f64 + 0.5).sqrt(), i as f64 * 2.399_963);
        [radius * angle.cos(), radius * angle.sin()]
    };
    let mut points: Vec<Point> = (0..n).map(spiral).collect();
    for round in 0..ROUNDS {
        let mut forces = vec![[0.0; 2]; n];
        for i in 0..n {
            // Beyond some distances repulsion is not felt, so that components do not fly apart.
            for j in 0..i {
                let ([x, y], square) = apart(points[i], points[j]);
                if square < (8.0 * APART).powi(2) {
                    push(&mut forces, i, j, [x, y], APART * APART / square);
                }
            }
        }
        for &(a, b, similarity) in edges {
            let (between, square) = apart(points[a], points[b]);
            push(
                &mut forces,
                a,
                b,
                between,
                -square.sqrt() / APART * (0.2 + similarity),
            );
        }
        let heat = 3.0 * APART * (1.0 - round as f64 / ROUNDS as f64);
        for (point, force) in points.iter_mut().zip(&forces) {
            // A weak pull to the middle keeps components together.
            let force = [0, 1].map(|axis| force[axis] - 0.01 * point[axis]);
            let length = force[0].hypot(force[1]).max(1e-9);
            (0..2).for_each(|axis| point[axis] += force[axis] / length * length.min(heat));
        }
    }
    points
}

/// From the second point to the first, and the squared distance; never zero.
fn apart(a: Point, b: Point) -> (Point, f64) {
    let [x, y] = [a[0] - b[0], a[1] - b[1]];
    ([x, y], (x * x + y * y).max(1e-3))
}

fn push(forces: &mut [Point], a: usize, b: usize, [x, y]: Point, factor: f64) {
    forces[a] = [forces[a][0] + factor * x, forces[a][1] + factor * y];
    forces[b] = [forces[b][0] - factor * x, forces[b][1] - factor * y];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linked_points_are_nearer_than_others_and_all_points_are_apart() {
        let edges = [(0, 1, 0.9), (1, 2, 0.9), (0, 2, 0.9), (3, 4, 0.9)];
        let points = place(7, &edges);
        let distance = |i: usize, j: usize| apart(points[i], points[j]).1.sqrt();
        for (a, b) in [(0, 1), (1, 2), (0, 2), (3, 4)] {
            assert!(
                (0..3).all(|i| distance(i, 3) > distance(a, b) && distance(i, 4) > distance(a, b))
            );
        }
        assert!((0..7).all(|i| (0..i).all(|j| distance(i, j) > 10.0)));
        assert!(points.iter().flatten().all(|v| *v >= 0.0));
    }

    #[test]
    fn names_are_escaped_and_too_many_points_refused() {
        let names = ["<b>&\"".to_owned(), "b\u{1b}[0m".to_owned()];
        let svg = graph_svg(
            &Graph {
                names: &names,
                edges: &[(0, 1, 0.5)],
                clusters: &[0, 1],
            },
            "t<t",
        )
        .unwrap();
        assert!(
            svg.contains("1: &lt;b&gt;&amp;&quot;")
                && svg.contains("t&lt;t")
                && !svg.contains('\u{1b}')
        );
        assert_eq!(
            (svg.matches("<circle").count(), svg.matches("<line").count()),
            (2, 1)
        );
        let many = vec![String::new(); MOST_POINTS + 1];
        assert!(matches!(
            graph_svg(
                &Graph {
                    names: &many,
                    edges: &[],
                    clusters: &[]
                },
                ""
            ),
            Err(Error::Input(_))
        ));
        assert!(
            graph_svg(
                &Graph {
                    names: &[],
                    edges: &[],
                    clusters: &[]
                },
                ""
            )
            .is_ok()
        );
    }
}
