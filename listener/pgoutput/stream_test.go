package pgoutput

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"
)

func xLogData(data []byte) builder {
	return append(build('w').i64(0x16B3700).i64(0x16B3800).i64(1_000_000), data...)
}

func keepalive(reply byte) builder {
	return build('k').i64(0x16B3800).i64(1_000_000).i8(reply)
}

func TestXLogDataIsReadFieldByField(t *testing.T) {
	for _, data := range [][]byte{{}, []byte("B...")} {
		got, err := DecodeXLogData(xLogData(data))
		want := XLogData{Start: 0x16B3700, ServerEnd: 0x16B3800, ServerTime: 1_000_000, Data: data}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestKeepaliveIsReadFieldByField(t *testing.T) {
	for _, reply := range []byte{0, 1} {
		got, err := DecodeKeepalive(keepalive(reply))
		want := Keepalive{ServerEnd: 0x16B3800, ServerTime: 1_000_000, ReplyRequested: reply == 1}
		if err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestBrokenStreamMessagesAreErrors(t *testing.T) {
	for n := range 25 {
		if _, err := DecodeXLogData(xLogData(nil)[:n]); !errors.Is(err, ErrShort) {
			t.Errorf("XLogData cut to %d bytes: got %v", n, err)
		}
	}
	for n := range 18 {
		if _, err := DecodeKeepalive(keepalive(1)[:n]); !errors.Is(err, ErrShort) {
			t.Errorf("keepalive cut to %d bytes: got %v", n, err)
		}
	}
	if _, err := DecodeKeepalive(keepalive(1).i8(0)); !errors.Is(err, ErrTrailing) {
		t.Errorf("keepalive with a byte too many: got %v", err)
	}
	if _, err := DecodeKeepalive(xLogData(nil)); !errors.Is(err, ErrMalformed) {
		t.Errorf("XLogData taken for a keepalive: got %v", err)
	}
	if _, err := DecodeXLogData(keepalive(1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("keepalive taken for XLogData: got %v", err)
	}
}

func TestStandbyStatusIsWrittenByteByByte(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 1, 2_999, time.UTC) // 1 s and 2 µs after the epoch
	got := AppendStandbyStatus([]byte("x"), 0x16_B374D848, 2, 1, now, true)
	want := []byte("xr" +
		"\x00\x00\x00\x16\xB3\x74\xD8\x48" +
		"\x00\x00\x00\x00\x00\x00\x00\x02" +
		"\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x00\x00\x00\x00\x00\x0F\x42\x42" +
		"\x01")
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	if got := AppendStandbyStatus(nil, 0, 0, 0, now, false); len(got) != 34 || got[33] != 0 {
		t.Errorf("without a reply: got %x", got)
	}
}

func TestTimestampsCountFromPostgreSQLsEpoch(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 34, 56, 789_012_000, time.UTC)
	ts := TimestampOf(at)
	if ts != 762_525_296_789_012 {
		t.Errorf("TimestampOf(%v) = %d", at, ts)
	}
	if ts.UnixMicro() != at.UnixMicro() || !ts.Time().Equal(at) {
		t.Errorf("%d is %d µs or %v, want %v", ts, ts.UnixMicro(), ts.Time(), at)
	}
	if got := Timestamp(0).Time(); got != time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) {
		t.Errorf("the epoch is %v", got)
	}
}

func TestLSNIsWrittenAndReadAsTheServerDoes(t *testing.T) {
	for text, lsn := range map[string]LSN{
		"0/0":               0,
		"0/16B3748":         0x16B3748,
		"16/B374D848":       0x16_B374D848,
		"FFFFFFFF/FFFFFFFF": 1<<64 - 1,
	} {
		if got := lsn.String(); got != text {
			t.Errorf("%d is written as %s, want %s", uint64(lsn), got, text)
		}
		if got, err := ParseLSN(text); err != nil || got != lsn {
			t.Errorf("%s is read as %d, %v, want %d", text, uint64(got), err, uint64(lsn))
		}
	}
	if got, err := ParseLSN("0/016b3748"); err != nil || got != 0x16B3748 {
		t.Errorf("lower case with a leading zero: got %v, %v", got, err)
	}
	for _, text := range []string{"", "/", "1", "1/", "/1", "0/0/0", "G/0", "0/-1", "+0/1", "0/123456789", "0/000000001", " 0/1", "0x1/1"} {
		if got, err := ParseLSN(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
