use super::{Column, Sheet};

impl Sheet {
    /// A floating table in the manner of `booktabs`, its caption after a title, referred to by
    /// `tab:LABEL`, with its notes below it; without rows, the notes as comments.
    pub(crate) fn latex(&self, title: &str, label: &str) -> String {
        let on_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        if self.rows == 0 {
            let caption = on_one_line(&self.caption);
            let comment = |note: &String| format!("% {caption}: {}\n", on_one_line(note));
            return self.notes.iter().map(comment).collect();
        }
        let alignment =
            (0..self.columns.len()).map(|index| if index < self.stubs { 'l' } else { 'r' });
        let mut lines = vec![
            "\\begin{table}".to_owned(),
            "\\centering\\small".to_owned(),
            format!("\\caption{{{}. {}.}}", escape(title), escape(&self.caption)),
            format!("\\label{{tab:{label}}}"),
            format!("\\begin{{tabular}}{{{}}}", alignment.collect::<String>()),
            "\\toprule".to_owned(),
        ];
        lines.extend(self.groups());
        lines.push(line(self.columns.iter().map(|column| column.title.as_str())));
        lines.push("\\midrule".to_owned());
        lines.extend((0..self.rows).map(|row| line(self.row(row))));
        lines.extend(["\\bottomrule", "\\end{tabular}"].map(str::to_owned));
        lines.extend(
            self.notes
                .iter()
                .map(|note| format!("\\par\\smallskip\\footnotesize {}", escape(note))),
        );
        lines.push("\\end{table}".to_owned());
        lines.join("\n") + "\n"
    }

    /// The line of headings that several columns share, and the rules below them; none if there are
    /// no groups.
    fn groups(&self) -> Vec<String> {
        if self.columns.iter().all(|column| column.group.is_empty()) {
            return Vec::new();
        }
        let (mut cells, mut rules, mut first) = (Vec::new(), Vec::new(), 1);
        for group in self.columns.chunk_by(|a: &Column, b: &Column| a.group == b.group) {
            let last = first + group.len() - 1;
            if group[0].group.is_empty() {
                cells.extend(vec![String::new(); group.len()]);
            } else {
                let name = escape(&group[0].group);
                cells.push(format!("\\multicolumn{{{}}}{{c}}{{{name}}}", group.len()));
                rules.push(format!("\\cmidrule(lr){{{first}-{last}}}"));
            }
            first = last + 1;
        }
        vec![format!("{} \\\\", cells.join(" & ")), rules.join(" ")]
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    format!("{} \\\\", cells.map(escape).collect::<Vec<_>>().join(" & "))
}

/// Text escaped for LaTeX.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        let command = match character {
            '\\' => "\\textbackslash{}",
            '~' => "\\textasciitilde{}",
            '^' => "\\textasciicircum{}",
            '<' => "\\textless{}",
            '>' => "\\textgreater{}",
            '|' => "\\textbar{}",
            '"' => "''",
            // At the start of a row these would be arguments of the line end before.
            '[' => "{[}",
            '*' => "{*}",
            '±' => "$\\pm$",
            '×' => "$\\times$",
            '·' => "$\\cdot$",
            '²' => "$^2$",
            'α' => "$\\alpha$",
            'β' => "$\\beta$",
            'γ' => "$\\gamma$",
            'λ' => "$\\lambda$",
            'µ' | 'μ' => "$\\mu$",
            '–' => "--",
            '—' => "---",
            '…' => "\\dots{}",
            '{' | '}' | '$' | '&' | '#' | '%' | '_' => {
                escaped.push('\\');
                escaped.push(character);
                continue;
            }
            character => {
                escaped.push(character);
                continue;
            }
        };
        escaped.push_str(command);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{super::tests::sheet, *};

    #[test]
    fn a_table_of_booktabs() {
        assert_eq!(
            sheet().latex("a_b", "x-y"),
            r"\begin{table}
\centering\small
\caption{a\_b. Some 5 \%.}
\label{tab:x-y}
\begin{tabular}{lrrr}
\toprule
 & \multicolumn{2}{c}{global} &  \\
\cmidrule(lr){2-3}
 & last & best & runs \\
\midrule
a\_b \textbar{} c & 60.0 $\pm$ 1.5 & -- & 3 \\
{[}x] \textbackslash{} \& \{y\} z & 1 & 2.00$\times$ & 4 \\
\bottomrule
\end{tabular}
\end{table}
"
        );
        assert_eq!(Sheet::new("empty", 0).latex("", "x"), "");
    }

    #[test]
    fn nothing_in_a_name_is_a_command() {
        assert_eq!(escape(r"\input{x}"), r"\textbackslash{}input\{x\}");
        assert_eq!(
            escape("50 % of $a_1^2 & #3~\n* <b>"),
            r"50 \% of \$a\_1\textasciicircum{}2 \& \#3\textasciitilde{} {*} \textless{}b\textgreater{}"
        );
    }
}
