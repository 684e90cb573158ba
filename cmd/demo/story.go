package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The rules of config.yml, each a story of the shop.
const (
	planUpgraded = "plan-upgraded"
	userDeleted  = "user-deleted"
	orderPlaced  = "order-placed"
	orderShipped = "order-shipped"
	lowStock     = "low-stock"
)

// stories lists them in the order in which they are shown.
var stories = []string{orderPlaced, orderShipped, planUpgraded, lowStock, userDeleted}

// lowBelow is the stock below which goods run low.
const lowBelow = 5

// gone stands for the version of a row that was deleted.
const gone = 0

// change is one change of a row of the shop: the version it led to, or gone.
type change struct {
	row     string // schema.table/key
	version int
}

// event is what the demo reads of an event in the envelope walherald.
type event struct {
	ID, Schema, Table, Action string
	CommitTime                time.Time
	Data, DataOld             row
}

// row is a row of any table of the shop.
type row struct {
	ID                      json.Number
	SKU, Name, Plan, Status string
	Stock, Quantity         int
	Total                   json.Number
	Version                 int
}

// row returns the row that the event is about.
func (e *event) row() *row {
	if e.Action == "DELETE" {
		return &e.DataOld
	}
	return &e.Data
}

// change returns the change that the event tells of.
func (e *event) change() change {
	r, version := e.row(), e.row().Version
	if e.Action == "DELETE" {
		version = gone
	}
	key := r.ID.String()
	if e.Table == "inventory" {
		key = r.SKU
	}
	return change{e.Schema + "." + e.Table + "/" + key, version}
}

// story returns which story the event tells, and in words. It asks as its reader
// would and knows nothing of how rules are matched; it is an error if nobody wanted
// the event.
func (e *event) story() (rule, words string, err error) {
	was, is := &e.DataOld, &e.Data
	switch what := e.Table + " " + e.Action; {
	case what == "users UPDATE" && was.Plan == "free" && is.Plan == "premium":
		return planUpgraded, fmt.Sprintf("%s upgraded to premium (user %s)", is.Name, is.ID), nil
	case what == "users DELETE":
		return userDeleted, fmt.Sprintf("%s closed the account (user %s)", was.Name, was.ID), nil
	case what == "orders INSERT":
		return orderPlaced, fmt.Sprintf("order %s: %d × %s for %s", is.ID, is.Quantity, is.SKU, is.Total), nil
	case what == "orders UPDATE" && was.Status == "paid" && is.Status == "shipped":
		return orderShipped, fmt.Sprintf("order %s shipped: %d × %s", is.ID, is.Quantity, is.SKU), nil
	case what == "inventory UPDATE" && was.Stock >= lowBelow && is.Stock < lowBelow:
		return lowStock, fmt.Sprintf("%s running low: %d left", is.SKU, is.Stock), nil
	}
	return "", "", fmt.Errorf("an event %s of %s tells no story that anybody asked for", strings.ToLower(e.Action), e.Table)
}
