package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is the one Chromium of all tests; each of them has a context of its own in it.
var browser struct {
	once sync.Once
	*chromium
	err error
}

// chromium is a browser that runs.
type chromium struct {
	ctx context.Context
	end func()
}

// startBrowser starts it with nothing but the page to talk to: what a browser does of its
// own, such as looking for updates, is off.
func startBrowser() (*chromium, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, fmt.Errorf("chromium is missing, run make deps: %w", err)
	}
	profile, err := os.MkdirTemp("", "walherald-chromium-")
	if err != nil {
		return nil, err
	}
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.UserDataDir(profile),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en-GB"),
		chromedp.WSURLReadTimeout(limit))
	ctx, cancel := chromedp.NewContext(allocator)
	end := func() {
		_ = chromedp.Cancel(ctx) // the process is gone afterwards, whatever it says
		cancel()
		cancelAllocator()
		_ = os.RemoveAll(profile)
	}
	if err := chromedp.Do(ctx); err != nil {
		end()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return &chromium{ctx, end}, nil
}

// closeBrowser ends it, if a test has started it.
func closeBrowser() {
	if browser.chromium != nil {
		browser.end()
	}
}

// tab is a page in a browser that keeps an eye on what it does.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string
	errors   []string
}

// newTab opens url. When the test ends, the page must not have asked any other host, nor
// complained; what begins with one of allowed it may say.
func newTab(t *testing.T, address string, allowed ...string) *tab {
	t.Helper()
	tb := blankTab(t)
	tb.do(chromedp.Navigate(address))
	t.Cleanup(func() {
		own, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		tb.mu.Lock()
		defer tb.mu.Unlock()
		for _, r := range tb.requests {
			if u, err := url.Parse(r); err != nil || u.Host != own.Host {
				t.Errorf("the page asked for %s", r)
			}
		}
		for _, e := range tb.errors {
			if !hasPrefix(e, allowed) {
				t.Errorf("the page complained: %s", e)
			}
		}
	})
	return tb
}

// blankTab opens an empty page.
func blankTab(t *testing.T) *tab {
	t.Helper()
	browser.once.Do(func() { browser.chromium, browser.err = startBrowser() })
	if browser.err != nil {
		t.Fatal(browser.err)
	}
	tb := &tab{t: t}
	ctx, cancel := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(tb.notice))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // opens it; a limit here would be one of its life
		t.Fatal(err)
	}
	var cancelLimit context.CancelFunc
	tb.ctx, cancelLimit = context.WithTimeout(ctx, 2*limit)
	t.Cleanup(cancelLimit)
	if _, err := chromedp.Call(tb.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	return tb
}

func hasPrefix(text string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// notice keeps what the browser tells of the page.
func (tb *tab) notice(event any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		tb.requests = append(tb.requests, e.Request.URL)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			tb.errors = append(tb.errors, e.Entry.Text)
		}
	case *runtime.EventExceptionThrown:
		tb.errors = append(tb.errors, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		tb.errors = append(tb.errors, fmt.Sprintf("console.%s", e.Type))
	}
}

func (tb *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		tb.t.Fatal(err)
	}
}

// eval returns what a JavaScript expression is worth on the page.
func eval[T any](tb *tab, expression string) T {
	tb.t.Helper()
	value, err := chromedp.Run(tb.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		tb.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// until waits for an expression to be true.
func (tb *tab) until(expression string) {
	tb.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, err := chromedp.Run(tb.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err != nil {
			tb.t.Fatalf("%s is not so: %v; the page is\n%s", expression, err, tb.lastText())
		}
		if ok {
			return
		}
		select {
		case <-ticker.C:
		case <-tb.ctx.Done():
			tb.t.Fatalf("%s is not so after %s; the page is\n%s", expression, 2*limit, tb.lastText())
		}
	}
}

// lastText asks on a context of its own: that of the tab is over.
func (tb *tab) lastText() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.ctx), limit)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// text waits until an element shows the text.
func (tb *tab) text(selector, want string) {
	tb.t.Helper()
	tb.until(fmt.Sprintf("document.querySelector(%s)?.innerText.includes(%s)", quoted(selector), quoted(want)))
}

// quoted is a string of JavaScript.
func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// click clicks an element once it is there, wherever it is: a page that is live moves
// between the moment its places are asked for and the click.
func (tb *tab) click(selector string) {
	tb.t.Helper()
	tb.until(fmt.Sprintf("document.querySelector(%s)?.checkVisibility()", quoted(selector)))
	tb.until(fmt.Sprintf("[document.querySelector(%s)?.click()]", quoted(selector)))
}

// press presses keys, as from kb, or types a text.
func (tb *tab) press(keys ...string) {
	tb.t.Helper()
	for _, k := range keys {
		tb.do(chromedp.KeyEvent(k))
	}
}

// size makes the window that wide, as on a phone.
func (tb *tab) size(width, height int64) {
	tb.t.Helper()
	tb.do(chromedp.EmulateViewport(width, height))
}

// scheme is dark or light.
func (tb *tab) scheme(name string) {
	tb.t.Helper()
	_, err := chromedp.Call(tb.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	if err != nil {
		tb.t.Fatal(err)
	}
}
