// SPDX-License-Identifier: AGPL-3.0-or-later

package paper

import (
	"bytes"
	"fmt"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"

	"github.com/allmende-energy/allmende/gateway/commission"
)

// Millimetres of an A4 page.
const (
	marginX  = 17.0
	marginY  = 15.0
	width    = 210 - 2*marginX
	bottom   = 297 - marginY - 8
	nameX    = 8.0  // of a proof's name, from the margin
	textX    = 42.0 // of its text
	chartW   = 50.0
	chartH   = 26.0
	chartAll = chartH + 14
)

const (
	sans = "go"
	mono = "gomono"
)

func tones(tone string) rgb {
	switch tone {
	case "good":
		return teal
	case "bad":
		return rgb{185, 28, 28}
	case "note":
		return rgb{180, 83, 9}
	}
	return rgb{138, 140, 138}
}

// sheet is the PDF while it is written.
type sheet struct {
	*fpdf.Fpdf
	view view
}

// PDF is the report on A4.
func PDF(r *commission.Report, v commission.Verified) ([]byte, error) {
	s := &sheet{fpdf.New("P", "mm", "A4", ""), look(r, v)}
	s.AddUTF8FontFromBytes(sans, "", goregular.TTF)
	s.AddUTF8FontFromBytes(sans, "B", gobold.TTF)
	s.AddUTF8FontFromBytes(mono, "", gomono.TTF)
	s.SetCreationDate(r.Ended)
	s.SetModificationDate(r.Ended)
	s.SetTitle("Commissioning report "+r.Gateway, true)
	s.SetAuthor("Allmende", true)
	s.SetMargins(marginX, marginY, marginX)
	s.SetAutoPageBreak(false, 0)
	s.SetFooterFunc(func() {
		s.font("", 7.5, grey)
		s.SetXY(marginX, 297-marginY)
		s.CellFormat(width, 4, fmt.Sprintf("Allmende · Commissioning report · page %d of {nb}", s.PageNo()), "", 0, "R", false, 0, "")
	})
	s.AliasNbPages("{nb}")
	s.AddPage()
	s.head()
	for _, part := range s.view.Sections {
		s.section(part)
	}
	s.signature()
	var b bytes.Buffer
	if err := s.Output(&b); err != nil {
		return nil, fmt.Errorf("the report's PDF: %w", err)
	}
	return b.Bytes(), nil
}

func (s *sheet) font(style string, size float64, c rgb) {
	s.SetFont(sans, style, size)
	s.SetTextColor(c[0], c[1], c[2])
}

// text writes wrapped lines at x and returns where it ends.
func (s *sheet) text(x, y, w, line float64, text string) float64 {
	s.SetXY(x, y)
	for _, l := range s.SplitText(text, w) {
		s.SetX(x)
		s.CellFormat(w, line, l, "", 2, "L", false, 0, "")
		y += line
	}
	return y
}

// room makes sure that so much fits on the page.
func (s *sheet) room(h float64) {
	if s.GetY()+h > bottom {
		s.AddPage()
		s.SetY(marginY)
	}
}

func (s *sheet) head() {
	c := tones(s.view.Tone)
	s.font("", 8.5, grey)
	s.text(marginX, marginY, width, 4, "ALLMENDE · COMMISSIONING REPORT")
	s.SetFillColor(c[0], c[1], c[2])
	s.Rect(marginX, marginY+8, 2, 20, "F")
	s.font("B", 27, c)
	s.text(marginX+6, marginY+7.5, width, 12, s.view.Word)
	s.font("", 11, ink)
	y := s.text(marginX+6, marginY+21, width-6, 5, s.view.Summary+".")
	y = max(y, marginY+28) + 6
	const columns = 3
	col, row := width/columns, y
	deepest := y
	for i, m := range s.view.Meta {
		if i > 0 && i%columns == 0 {
			row = deepest + 2
		}
		x := marginX + float64(i%columns)*col
		s.font("", 8, grey)
		s.text(x, row, col-4, 4, m[0])
		s.font("", 9.5, ink)
		deepest = max(deepest, s.text(x, row+4, col-4, 4.4, m[1]))
	}
	s.SetY(deepest + 5)
}

func (s *sheet) section(part section) {
	need := 22.0
	if len(part.Charts) > 0 {
		need = chartAll + 40
	}
	s.room(need)
	y := s.GetY()
	s.SetDrawColor(faint[0], faint[1], faint[2])
	s.SetLineWidth(0.25)
	s.Line(marginX, y, marginX+width, y)
	s.font("B", 12.5, ink)
	y = s.text(marginX, y+2.5, width, 6, part.Title)
	if part.Sub != "" {
		s.font("", 8.5, grey)
		y = s.text(marginX, y, width, 4, part.Sub)
	}
	s.SetY(y + 1.5)
	for _, r := range part.Rows {
		s.row(r)
	}
	if len(part.Charts) > 0 {
		s.charts(part.Charts)
	}
	s.SetY(s.GetY() + 4)
}

func (s *sheet) row(r row) {
	s.room(14)
	y, c := s.GetY(), tones(r.Tone)
	s.mark(marginX+2.2, y+2.6, r.Tone)
	s.font("B", 9.5, ink)
	names := s.text(marginX+nameX, y+0.4, textX-nameX-2, 4.4, r.Name)
	s.font("", 9.5, ink)
	end := s.text(marginX+textX, y+0.4, width-textX, 4.4, r.Text)
	if r.Next != "" {
		s.font("", 9, c)
		end = s.text(marginX+textX, end, width-textX, 4.3, "→ "+r.Next)
	}
	if r.Figures != "" {
		s.font("", 8, grey)
		end = s.text(marginX+textX, end+0.2, width-textX, 3.9, r.Figures)
	}
	s.SetY(max(end, names) + 1.6)
}

// mark is the sign of an outcome, drawn: the font has no tick.
func (s *sheet) mark(x, y float64, tone string) {
	c := tones(tone)
	s.SetFillColor(c[0], c[1], c[2])
	s.Circle(x, y, 2.2, "F")
	s.SetDrawColor(255, 255, 255)
	s.SetLineWidth(0.55)
	switch tone {
	case "good":
		s.Line(x-1.1, y, x-0.3, y+0.9)
		s.Line(x-0.3, y+0.9, x+1.2, y-0.9)
	case "bad":
		s.Line(x-0.9, y-0.9, x+0.9, y+0.9)
		s.Line(x-0.9, y+0.9, x+0.9, y-0.9)
	case "note":
		s.Line(x, y-1.2, x, y+0.3)
		s.Line(x, y+0.95, x, y+1.1)
	default:
		s.Line(x-1, y, x+1, y)
	}
}

func (s *sheet) charts(charts []chart) {
	s.room(chartAll)
	top := s.GetY() + 2
	for i, c := range charts {
		if i > 0 && i%2 == 0 {
			s.SetY(top + chartAll)
			s.room(chartAll)
			top = s.GetY()
		}
		s.chart(c, marginX+float64(i%2)*(width/2)+10, top)
	}
	s.SetY(top + chartAll)
}

func (s *sheet) chart(c chart, x, y float64) {
	// Points of the layout are 1/72 inch, as a page has them.
	const point = 25.4 / 72
	p, ok := layOut(c.curve, chartW/point, chartH/point)
	if !ok {
		return
	}
	s.font("B", 8.5, ink)
	s.text(x-10, y, chartW, 4, c.Title)
	y += 8
	at := func(q [2]float64) (float64, float64) { return x + q[0]*point, y + q[1]*point }
	s.SetLineWidth(0.2)
	s.font("", 6.8, grey)
	for _, t := range p.ticks {
		_, ty := at([2]float64{0, t.at})
		s.SetDrawColor(faint[0], faint[1], faint[2])
		s.Line(x, ty, x+chartW, ty)
		s.SetXY(x-11, ty-1.5)
		s.CellFormat(10, 3, t.text, "", 0, "R", false, 0, "")
	}
	for _, t := range p.times {
		s.SetXY(x+t.at*point-6, y+chartH+1)
		s.CellFormat(12, 3, t.text, "", 0, "C", false, 0, "")
	}
	for _, t := range p.marks {
		tx, _ := at([2]float64{t.at, 0})
		s.SetDrawColor(grey[0], grey[1], grey[2])
		s.SetDashPattern([]float64{0.4, 0.9}, 0)
		s.Line(tx, y, tx, y+chartH)
		s.SetDashPattern(nil, 0)
		from, align := tx-1, "L"
		if t.left {
			from, align = tx-19, "R"
		}
		s.SetXY(from, y-3.4)
		s.CellFormat(20, 3, t.text, "", 0, align, false, 0, "")
	}
	for _, l := range p.lines {
		s.polyline(l, at)
		s.font("B", 7, l.color)
		s.SetXY(x+chartW+1, y+l.label*point-1.5)
		s.CellFormat(20, 3, short(l.name, 14), "", 0, "L", false, 0, "")
	}
}

func (s *sheet) polyline(l polyline, at func([2]float64) (float64, float64)) {
	s.SetDrawColor(l.color[0], l.color[1], l.color[2])
	s.SetLineWidth(0.5)
	s.SetLineJoinStyle("round")
	if l.dashed {
		s.SetDashPattern([]float64{1.4, 0.9}, 0)
	}
	for i := 1; i < len(l.points); i++ {
		x1, y1 := at(l.points[i-1])
		x2, y2 := at(l.points[i])
		s.Line(x1, y1, x2, y2)
	}
	s.SetDashPattern(nil, 0)
}

func (s *sheet) signature() {
	s.room(26)
	y := s.GetY()
	s.SetDrawColor(faint[0], faint[1], faint[2])
	s.SetLineWidth(0.25)
	s.Line(marginX, y, marginX+width, y)
	s.font("", 8.5, grey)
	if !s.view.Signed {
		s.text(marginX, y+2.5, width, 4, "Not signed: the gateway was not enrolled when this was made.")
		return
	}
	y = s.text(marginX, y+2.5, width, 4, fmt.Sprintf("Signed by gateway %s of %s. The signature is in the JSON file that came with this report; check it with \"allmende gateway report verify FILE.json\", which must name this report and the community's authority:", s.view.Gateway, s.view.Community))
	s.SetFont(mono, "", 7.5)
	y = s.text(marginX, y+0.8, width, 3.8, "report     "+s.view.Digest)
	s.text(marginX, y, width, 3.8, "authority  "+s.view.Authority)
}
