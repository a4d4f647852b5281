//! Bars as inline SVG: one line for each thing, made of one piece or of several.

/// Of the drawing, in its own units.
const WIDTH: f64 = 360.0;
const LINE: f64 = 44.0;
const BAR: f64 = 14.0;
/// Characters of a label that have room beside the value.
const LABEL: usize = 36;

/// A chart, measured and ready to be written down.
pub struct Chart {
    pub id: &'static str,
    pub title: &'static str,
    /// The same in words, for those who do not see it.
    pub words: String,
    pub height: f64,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub label: String,
    /// The label whole.
    pub name: String,
    pub value: String,
    pub text_y: f64,
    pub bar_y: f64,
    pub pieces: Vec<Piece>,
}

pub struct Piece {
    pub class: &'static str,
    pub x: f64,
    pub width: f64,
    pub title: String,
}

/// What a line shows: its name, its value in words, and its pieces.
pub struct Entry {
    pub label: String,
    pub value: String,
    pub pieces: Vec<(&'static str, f64, String)>,
}

impl Chart {
    pub fn new(id: &'static str, title: &'static str, entries: Vec<Entry>) -> Self {
        let total = |entry: &Entry| entry.pieces.iter().map(|(_, size, _)| size).sum::<f64>();
        let longest = entries.iter().map(total).fold(0.0, f64::max);
        let scale = match longest > 0.0 {
            true => WIDTH / longest,
            false => 0.0,
        };
        let words: Vec<String> = entries
            .iter()
            .map(|entry| format!("{}: {}", entry.label, entry.value))
            .collect();
        let lines: Vec<Line> = entries
            .into_iter()
            .enumerate()
            .map(|(at, entry)| line(at, entry, scale))
            .collect();
        Self {
            id,
            title,
            words: words.join("; "),
            height: LINE * lines.len() as f64 + 8.0,
            lines,
        }
    }

    pub fn width(&self) -> f64 {
        WIDTH
    }

    pub fn bar(&self) -> f64 {
        BAR
    }
}

fn line(at: usize, entry: Entry, scale: f64) -> Line {
    let top = LINE * at as f64 + 4.0;
    let mut x = 0.0;
    let pieces = entry.pieces.into_iter().filter(|(_, size, _)| *size > 0.0);
    let pieces = pieces.map(|(class, size, title)| {
        let width = tenth(size * scale);
        let piece = Piece {
            class,
            x: tenth(x),
            width,
            title,
        };
        x += width;
        piece
    });
    Line {
        label: short(&entry.label),
        name: entry.label,
        value: entry.value,
        text_y: top + 13.0,
        bar_y: top + 20.0,
        pieces: pieces.collect(),
    }
}

/// As much of a label as there is room for.
fn short(label: &str) -> String {
    match label.chars().nth(LABEL) {
        Some(_) => label.chars().take(LABEL - 1).chain(['…']).collect(),
        None => label.to_owned(),
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_room_and_pieces_lie_end_to_end() {
        let entry = |label: &str, sizes: &[f64]| Entry {
            label: label.to_owned(),
            value: label.to_owned(),
            pieces: sizes
                .iter()
                .map(|size| ("bar", *size, String::new()))
                .collect(),
        };
        let chart = Chart::new(
            "c",
            "title",
            vec![entry("a", &[3.0, 0.0, 1.0]), entry("b", &[2.0])],
        );

        let [a, b] = &chart.lines[..] else {
            panic!("two lines");
        };
        assert_eq!(a.pieces.len(), 2, "what is nothing is not drawn");
        assert_eq!(a.pieces[1].x, a.pieces[0].x + a.pieces[0].width);
        assert_eq!(a.pieces[0].width + a.pieces[1].width, chart.width());
        assert_eq!(b.pieces[0].width, chart.width() / 2.0);
        assert_eq!(chart.words, "a: a; b: b");
    }

    #[test]
    fn a_long_label_leaves_room_for_the_value() {
        assert_eq!(short("Aino"), "Aino");
        assert_eq!(short(&"ä".repeat(60)).chars().count(), LABEL);
    }

    #[test]
    fn nothing_at_all_is_an_empty_chart() {
        let chart = Chart::new("c", "title", Vec::new());

        assert!(chart.lines.is_empty());
    }
}
