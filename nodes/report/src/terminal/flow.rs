//! Lines of items that break between items, never within one, and go on under their first item.

use crate::style::{Style, Tone, columns};

/// Columns of the labels, and so where items begin.
pub(super) const LABEL: usize = 12;

/// A word with its meaning.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    tone: Tone,
    text: String,
}

impl Piece {
    pub(super) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into() }
    }

    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// Columns of pieces with one space between them.
pub(super) fn columns_of(item: &[Piece]) -> usize {
    item.iter().map(|piece| columns(&piece.text)).sum::<usize>() + item.len().saturating_sub(1)
}

/// A line under construction.
#[derive(Debug)]
pub(super) struct Flow {
    style: Style,
    label: String,
    gap: usize,
    indent: usize,
    /// Each with the gap before it.
    items: Vec<(usize, Vec<Piece>)>,
}

impl Flow {
    /// From the first column, items two spaces apart.
    pub(super) fn headline(style: Style) -> Self {
        Self { style, label: String::new(), gap: 2, indent: 4, items: Vec::new() }
    }

    /// Behind a label, items three spaces apart.
    pub(super) fn labelled(style: Style, label: &str) -> Self {
        Self {
            style,
            label: format!(" {label:<width$}", width = LABEL - 1),
            gap: 3,
            indent: LABEL,
            items: Vec::new(),
        }
    }

    /// Adds an item of pieces that stay together.
    pub(super) fn push(&mut self, item: Vec<Piece>) {
        self.items.push((self.gap, item));
    }

    /// Adds a word, one space behind the one before.
    pub(super) fn join(&mut self, piece: Piece) {
        self.items.push((1, vec![piece]));
    }

    /// Writes the line, or nothing if it has no items.
    pub(super) fn write(self, out: &mut String) {
        if self.items.is_empty() {
            return;
        }
        let style = self.style;
        out.push_str(&style.paint(Tone::Faint, &self.label));
        let mut column = columns(&self.label);
        let mut first = true;
        for (gap, item) in &self.items {
            let gap = if first { 0 } else { *gap };
            let needed = columns_of(item);
            if !first && column + gap + needed > style.width {
                out.push('\n');
                out.push_str(&" ".repeat(self.indent));
                column = self.indent;
            } else {
                out.push_str(&" ".repeat(gap));
                column += gap;
            }
            for (at, piece) in item.iter().enumerate() {
                out.push_str(if at > 0 { " " } else { "" });
                out.push_str(&style.paint(piece.tone, &piece.text));
            }
            column += needed;
            first = false;
        }
        out.push('\n');
    }
}

/// A sentence behind a mark, broken between words.
pub(super) fn sentence(out: &mut String, style: Style, tone: Tone, text: &str) {
    let mut line = String::from(" !");
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && columns(&line) + 1 + columns(word) > style.width {
            out.push_str(&style.paint(tone, &line));
            out.push('\n');
            line = String::from("  ");
        }
        line.push(' ');
        line.push_str(word);
        empty = false;
    }
    out.push_str(&style.paint(tone, &line));
    out.push('\n');
}
