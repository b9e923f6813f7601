// SPDX-License-Identifier: AGPL-3.0-or-later

package esbeta

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const (
	anna = "ES1234123456789012JY0F" // the example of python-stdnum, which was written by others
	cau  = anna + "A000"
	name = cau + "_2027.txt"
)

// cups is a valid code with this number.
func cups(n int64) string { return fmt.Sprintf("ES%016d%s0F", n, letters(n)) }

func TestCUPS(t *testing.T) {
	for _, good := range []string{anna, "ES1234123456789012JY1F", "ES1234123456789012JY9Z", cups(0), cups(9999999999999999)} {
		if err := CheckCUPS(good); err != nil {
			t.Error(err)
		}
	}
	for bad, says := range map[string]string{
		"ES1234123456789012JY":   "has 20 characters",
		"GB1234123456789012JY0F": "begins with ES",
		"ES1234123456789012XY0F": "JY would check",
		"ES1234123456789013JY0F": "would check",
		"ES1234123456789012jy0F": "JY would check",
		"ES1234123X56789012JY0F": "where a digit belongs",
		"ES1234123456789012JYXF": "at place 21",
		"ES1234123456789012JY0T": "F, P, R, C, X, Y or Z",
		"":                       "has 0 characters",
	} {
		if err := CheckCUPS(bad); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want … %s", bad, err, says)
		}
	}
	for _, bad := range []string{anna, anna + "B000", anna + "A00X", "ES1234123456789012XY0FA000"} {
		if CheckCAU(bad) == nil {
			t.Errorf("%s is taken as a CAU", bad)
		}
	}
}

// hourly is the text of a file in which two points share each hour in halves.
func hourly(year int) string {
	var b strings.Builder
	for _, c := range []string{cups(1), cups(2)} {
		for h := range Hours(year) {
			fmt.Fprintf(&b, "%s;%04d;0,500000\n", c, h+1)
		}
	}
	return b.String()
}

func TestDecode(t *testing.T) {
	fixed := cups(7) + ";0,250000\n" + anna + ";0,750000\n"
	f, err := Decode(name, []byte(fixed))
	if err != nil || f.CAU != cau || f.Year != 2027 || len(f.Points) != 2 || f.Points[0].CUPS != cups(7) || f.Points[1].Betas[0] != 750_000 || f.Hourly() {
		t.Fatalf("%+v, %v", f, err)
	}
	if text, err := f.Encode(); err != nil || string(text) != fixed || f.Name() != name {
		t.Errorf("%s is written as %s, %v", fixed, text, err)
	}
	for _, same := range []string{strings.TrimSuffix(fixed, "\n"), strings.ReplaceAll(fixed, "\n", "\r\n")} {
		if g, err := Decode(name, []byte(same)); err != nil || !reflect.DeepEqual(f, g) {
			t.Errorf("%q: %v", same, err)
		}
	}
	for year, hours := range map[int]int{2027: 8760, 2028: 8784, 2100: 8760} {
		f, err := Decode(fmt.Sprintf("%s_%d.txt", cau, year), []byte(hourly(year)))
		if err != nil || !f.Hourly() || len(f.Points[1].Betas) != hours {
			t.Errorf("%d: %v", year, err)
			continue
		}
		if text, err := f.Encode(); err != nil || string(text) != hourly(year) {
			t.Errorf("%d is written differently, %v", year, err)
		}
	}
}

// The decree's table asks for whole hours from 1 of up to four digits, without a
// fixed length; its example is 523.
func TestHoursWithoutZeros(t *testing.T) {
	padded := hourly(2027)
	bare := strings.NewReplacer(";000", ";", ";00", ";", ";0,", ";0,", ";0", ";").Replace(padded)
	if !strings.Contains(bare, ";523;0,500000\n") || strings.Contains(bare, ";0523;") {
		t.Fatal("the test's own file is not what it should be")
	}
	f, err := Decode(name, []byte(bare))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := f.Encode(); err != nil || string(text) != padded {
		t.Errorf("it is written otherwise: %v", err)
	}
}

// TestNothingIsSetRight: a file with one wrong character is refused, or says just
// what it says; nothing is guessed.
func TestNothingIsSetRight(t *testing.T) {
	good := cups(1) + ";0,250000\n" + anna + ";0,750000\n"
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(good)
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		text[at] = rapid.SampledFrom([]byte("0123456789;,.EFPRSTXYZJ \r\n\t-+\x00\xff")).Draw(t, "character")
		f, err := Decode(name, text)
		if err != nil {
			return
		}
		again, err := f.Encode()
		if err != nil || !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), bytes.TrimSuffix(text, []byte("\n"))) {
			t.Fatalf("%q is taken for %q, %v", text, again, err)
		}
	})
}

func TestMistakes(t *testing.T) {
	two := cups(1) + ";0,250000\n" + cups(2) + ";0,750000\n"
	year := hourly(2027)
	for _, x := range []struct{ name, text, says string }{
		{name, "", "it is empty"},
		{name, "\xef\xbb\xbf" + two, "line 1: it begins with a byte order mark"},
		{name, strings.Replace(two, "0,25", "0.25", 1), "line 1, coefficient: \"0.250000\" is no coefficient; write it with a comma and six decimals"},
		{name, strings.Replace(two, "0,250000", "0,25", 1), "six decimals"},
		{name, strings.Replace(two, "0,250000", "1,250000", 1), "at most 1,000000"},
		{name, strings.Replace(two, "0,250000", "0,250001", 1), "all coefficients add up to 1,000001; they must add up to exactly 1,000000"},
		{name, strings.Replace(two, ";0,7", "; 0,7", 1), "line 2, coefficient:"},
		{name, strings.ReplaceAll(two, ";", "\t"), "with semicolons"},
		{name, two + "\n", "line 3: \"\" is not CUPS;coefficient"},
		{name, strings.Replace(two, "\n", "\r\n", 1), "line 2, coefficient:"}, // line ends of two kinds
		{name, strings.ReplaceAll(two, "ES0", "es0"), "line 1, CUPS: "},
		{name, strings.Replace(year, ";0002;", ";+2;", 1), "line 2, hour: \"+2\" stands where hour 0002 belongs"},
		{name, strings.Replace(year, ";0002;", ";00002;", 1), "line 2, hour:"},
		{name, strings.Replace(year, ";0002;", ";;", 1), "line 2, hour: \"\" stands"},
		{name, strings.Replace(year, ";0002;", ";0;", 1), "line 2, hour:"},
		{name, cups(1) + ";0,500000\n" + cups(1) + ";0,500000\n", "line 2, CUPS: " + cups(1) + " stands here a second time"},
		{name, strings.Replace(two, cups(2), "ES1234123456789012XY0F", 1), "line 2, CUPS: \"ES1234123456789012XY0F\" ends its number with \"XY\", and JY would check"},
		{name, two + cups(3) + ";0001;0,000000\n", "line 3: it is written in another way"},
		{name, strings.Replace(year, ";0002;", ";0003;", 1), "line 2, hour: \"0003\" stands where hour 0002 belongs"},
		{name, strings.Replace(year, cups(1)+";8760;0,500000\n", "", 1), "has 8759 coefficients"},
		{name, year + cups(2) + ";8761;0,500000\n", "line 17521, hour: there is an hour too many; 2027 has 8760"},
		{name, strings.Replace(year, ";0044;0,500000", ";0044;0,500001", 1), "the coefficients of hour 0044 add up to 1,000001"},
		{cau + "_2028.txt", year, "has 8760 coefficients; it needs one, or one for each of the 8784 hours of 2028"},
		{"betas.txt", two, "call it by its CAU and year"},
		{strings.Replace(name, "JY", "XX", 1), two, "the file's name:"},
		{cau + "_27.txt", two, "call it by its CAU and year"},
	} {
		_, err := Decode(x.name, []byte(x.text))
		var p Problems
		if !errors.As(err, &p) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("want … %s, got %.300v", x.says, err)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := File{CAU: cau, Year: rapid.IntRange(2024, 2032).Draw(t, "year")}
		count := 1
		if rapid.IntRange(0, 9).Draw(t, "hourly") == 0 {
			count = Hours(f.Year)
		}
		n := rapid.IntRange(1, 6).Draw(t, "points")
		cuts := rapid.SliceOfN(rapid.Int32Range(0, int32(One)), n-1, n-1).Draw(t, "cuts")
		for i := range n {
			f.Points = append(f.Points, Point{CUPS: cups(int64(i)), Betas: make([]Beta, count)})
		}
		for h := range count {
			left := One
			for i := range n - 1 {
				b := min(left, Beta((int64(cuts[i])+int64(h)*7919)%int64(One+1)))
				f.Points[i].Betas[h] = b
				left -= b
			}
			f.Points[n-1].Betas[h] = left
		}
		text, err := f.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(f.Name(), text)
		if err != nil || !reflect.DeepEqual(*back, f) {
			t.Fatalf("it is read back as %+v, %v", back, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(name, []byte(cups(1)+";0,250000\r\n"+cups(2)+";0,750000\r\n"))
	f.Add(name, []byte(cups(1)+";0001;1,000000\n"))
	f.Add("x_2027.txt", []byte("\xef\xbb\xbf"))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		file, err := Decode(name, text)
		var p Problems
		if err != nil {
			if !errors.As(err, &p) || len(p) == 0 || len(p) > maxProblems {
				t.Fatalf("an error that is no list of problems: %v", err)
			}
			return
		}
		once, err := file.Encode()
		if err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
		again, err := Decode(file.Name(), once)
		if err != nil || !reflect.DeepEqual(file, again) {
			t.Fatalf("written and read again it is another: %v", err)
		}
		if twice, err := again.Encode(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("written twice it differs: %v", err)
		}
	})
}
