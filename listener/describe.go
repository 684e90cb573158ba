package listener

import (
	"context"

	"github.com/walherald/walherald/listener/pgoutput"
)

// details is what the log does not say of a table and its catalogue does. The
// catalogue is that of now, the log can be older: what it no longer knows is
// missing here, and does not stop anything.
type details struct {
	// types holds types that are not built in: those of the columns that are not
	// simply text, and what these are made of. Not to be kept: it grows.
	types map[uint32]typeInfo
	// primaryKey names its columns in order; only of a table whose replica
	// identity is the whole row.
	primaryKey []string
}

// typeInfo says what a type that is not built in is made of. The zero value is
// a type whose values are simply text.
type typeInfo struct {
	// base is the built-in type below a domain, or 0.
	base uint32
	// element is the type of an array's elements (the one below, if that is a
	// domain), or 0 for no array. A domain over an array that is not built in has
	// its element.
	element uint32
	// delimiter stands between the elements of an array.
	delimiter byte
}

// describer looks details up.
type describer interface {
	// learn takes what the log itself says of a type.
	learn(t *pgoutput.Type)
	// describe returns what there is to know beside rel. Its error means that
	// the catalogue cannot be read now.
	describe(ctx context.Context, rel *pgoutput.Relation) (details, error)
}
