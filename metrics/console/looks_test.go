package console

import (
	"fmt"
	"strings"
	"testing"
)

// crowded is a status with everything that makes a page wide.
func crowded(s *Status) {
	long := strings.Repeat("averyverylongname", 8)
	blockedBy("connect to " + long + ": connection refused")(s)
	s.Source.Database, s.Source.Slot, s.Source.Note = long, long, long
	s.Events[0].Table, s.Events[0].Path[0].Topic = long, long
	s.Rules[0].Name, s.Rules[0].Match = long, long
	s.Outputs[1].Name, s.Outputs[1].CircuitOpen, s.Outputs[1].LastError = long, true, long
}

func TestNothingIsWiderThanAPhone(t *testing.T) {
	th := newTheatre()
	th.stage.set(crowded)
	th.lot.parked[0].Reason = strings.Repeat("x", 200)
	tb := th.open(t)
	tb.unlock()
	tb.text("#parked-table", "public.products")
	for _, width := range []int64{320, 390, 768, 1280} {
		tb.size(width, 700)
		tb.until(fmt.Sprintf("innerWidth === %d", width))
		if wide := eval[int](tb, "document.documentElement.scrollWidth"); int64(wide) > width {
			t.Errorf("at %d pixels the page is %d wide", width, wide)
		}
		if cut := eval[string](tb, tooWide); cut != "" {
			t.Errorf("at %d pixels there reaches out of the window: %s", width, cut)
		}
	}
}

// tooWide lists elements with text that reach out of the window.
const tooWide = `[...document.querySelectorAll('main *, header *, footer *')].filter((e) =>
	!e.closest('.unseen, .skip, svg, thead') && e.getBoundingClientRect().right > innerWidth + 1)
	.map((e) => e.tagName + '.' + e.className).join(' ')`

// poor lists visible texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3 AA), with what
// the browser computed. A canvas turns any form of colour into numbers.
const poor = `(() => {
	const pen = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
	const rgba = (c) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = c; pen.fillRect(0, 0, 1, 1); return [...pen.getImageData(0, 0, 1, 1).data]; };
	const over = (top, bottom) => top.slice(0, 3).map((v, i) => v * top[3] / 255 + bottom[i] * (1 - top[3] / 255)).concat(255);
	const ground = (e) => { const c = rgba(getComputedStyle(e).backgroundColor);
		return c[3] === 255 || !e.parentElement ? c : over(c, ground(e.parentElement)); };
	const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	let seen = 0;
	const bad = [];
	for (const e of document.querySelectorAll('body *')) {
		if (e.closest('svg, .unseen, .skip, noscript, script') || !e.checkVisibility()) continue;
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && !e.matches('input, select')) continue;
		seen++;
		const back = ground(e);
		const [a, b] = [light(over(rgba(getComputedStyle(e).color), back)), light(back)];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < 4.5) bad.push(e.tagName + '.' + e.className + ' ' + contrast.toFixed(2) + ' ' + e.textContent.slice(0, 30));
	}
	return seen + ' texts\n' + bad.join('\n');
})()`

func TestContrastIsEnoughInLightAndDark(t *testing.T) {
	th := newTheatre()
	tb := th.open(t)
	tb.unlock()
	tb.text("#parked-table", "public.products")
	grounds := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		tb.scheme(scheme)
		grounds[eval[string](tb, "getComputedStyle(document.body).backgroundColor")] = true
		for _, change := range []func(*Status){func(*Status) {}, crowded, func(s *Status) { s.State = "stopping" }} {
			th.stage.set(func(s *Status) { *s = working(); change(s) })
			want := headline(th.stage.now(), Rates{}).Text
			tb.text("h1", want)
			count, bad, _ := strings.Cut(eval[string](tb, poor), "\n")
			if bad != "" {
				t.Errorf("%s, %s: poor contrast:\n%s", scheme, want, bad)
			}
			if len(count) < len("100 texts") {
				t.Errorf("only %s were measured", count)
			}
		}
	}
	if len(grounds) != 2 {
		t.Errorf("light and dark have the grounds %v", grounds)
	}
}

func TestDialogHasEnoughContrast(t *testing.T) {
	tb := newTheatre().open(t)
	tb.unlock()
	for _, scheme := range []string{"light", "dark"} {
		tb.scheme(scheme)
		tb.click("#parked-table [data-do=drop]")
		tb.text("dialog[open]", "cannot be taken back")
		if _, bad, _ := strings.Cut(eval[string](tb, poor), "\n"); bad != "" {
			t.Errorf("%s: poor contrast:\n%s", scheme, bad)
		}
		tb.click("dialog button[value=cancel]")
		tb.until("!document.querySelector('dialog[open]')")
	}
}

// What programs that read the page aloud go by.
func TestPageHasTheStructureThatAssistiveToolsNeed(t *testing.T) {
	tb := newTheatre().open(t)
	tb.unlock()
	tb.text("#parked-table", "public.products")
	for about, expression := range map[string]string{
		"one main heading":               "document.querySelectorAll('h1').length === 1",
		"landmarks":                      "['header', 'main', 'nav[aria-label]', 'footer'].every((s) => document.querySelectorAll(s + ':not(article *)').length === 1)",
		"a language":                     "document.documentElement.lang === 'en'",
		"sections with names":            "[...document.querySelectorAll('section')].every((s) => document.getElementById(s.getAttribute('aria-labelledby'))?.textContent)",
		"tables with captions and heads": "[...document.querySelectorAll('table')].every((t) => t.caption.textContent && t.querySelectorAll('thead th[scope=col]').length > 2 && t.querySelector('tbody th[scope=row]'))",
		"three tables":                   "document.querySelectorAll('table').length === 3",
		"inputs with labels":             "[...document.querySelectorAll('input, select')].every((i) => i.labels.length === 1)",
		"buttons with names":             "[...document.querySelectorAll('button')].every((b) => (b.getAttribute('aria-label') ?? b.textContent).trim())",
		"charts with names":              "[...document.querySelectorAll('svg')].every((s) => s.getAttribute('aria-label') || s.getAttribute('aria-hidden') === 'true')",
		"one place that speaks":          "document.querySelectorAll('[aria-live]').length === 1 && document.querySelector('[aria-live]').id === 'told'",
		"headings without a leap":        "[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => +h.tagName[1]).every((n, i, all) => i === 0 || n <= all[i - 1] + 1)",
		"a word beside every mark":       "[...document.querySelectorAll('.mark')].every((m) => m.parentElement.textContent.trim())",
	} {
		if !eval[bool](tb, "Boolean("+expression+")") {
			t.Errorf("the page has no %s", about)
		}
	}
}
