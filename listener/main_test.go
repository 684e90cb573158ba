package listener

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/pgserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgserver.WithShared(m)) }
