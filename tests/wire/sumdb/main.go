// An independent reader of our logs, by Go's own checksum database packages.
//
//	verify DIR VKEY   checkpoint, every tile, every entry, and a proof of inclusion and of consistency for every size
//	vectors HEX...    the proofs of every index and size of a tree with these leaves, as JSON
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
}

// files reads C2SP tlog-tiles paths: sumdb's own have the height as first element and no difference else.
type files struct{ dir string }

func (f files) Height() int                          { return 8 }
func (f files) SaveTiles(t []tlog.Tile, d [][]byte) {}
func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(f.dir, strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func verify(dir, vkey string) {
	verifier, err := note.NewVerifier(vkey)
	check(err)
	raw, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	check(err)
	opened, err := note.Open(raw, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	reader := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, files{dir})
	for n := int64(0); n < size; {
		width := int(size - n)
		if width > 256 {
			width = 256
		}
		name := strings.Replace(tlog.Tile{H: 8, L: -1, N: n / 256, W: width}.Path(), "tile/8/data/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(dir, name))
		check(err)
		for i := 0; i < width; i++ {
			length := int(data[0])<<8 | int(data[1])
			proof, err := tlog.ProveRecord(size, n, reader)
			check(err)
			check(tlog.CheckRecord(proof, size, root, n, tlog.RecordHash(data[2:2+length])))
			data = data[2+length:]
			n++
			old, err := tlog.TreeHash(n, reader)
			check(err)
			tree, err := tlog.ProveTree(size, n, reader)
			check(err)
			check(tlog.CheckTree(tree, size, root, n, old))
		}
		if len(data) != 0 {
			check(fmt.Errorf("%s: %d bytes too many", name, len(data)))
		}
	}
	fmt.Printf("%s %d\n", lines[0], size)
}

func vectors(leaves []string) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, stored[i])
		}
		return out, nil
	})
	words := func(proof []tlog.Hash) []string {
		out := []string{}
		for _, h := range proof {
			out = append(out, hex.EncodeToString(h[:]))
		}
		return out
	}
	inclusion, consistency := []interface{}{}, []interface{}{}
	for n, leaf := range leaves {
		data, err := hex.DecodeString(leaf)
		check(err)
		hashes, err := tlog.StoredHashes(int64(n), data, reader)
		check(err)
		stored = append(stored, hashes...)
		size := int64(n + 1)
		for i := int64(0); i < size; i++ {
			proof, err := tlog.ProveRecord(size, i, reader)
			check(err)
			inclusion = append(inclusion, map[string]interface{}{"index": i, "size": size, "path": words(proof)})
		}
		for old := int64(1); old <= size; old++ {
			proof, err := tlog.ProveTree(size, old, reader)
			check(err)
			consistency = append(consistency, map[string]interface{}{"old": old, "size": size, "path": words(proof)})
		}
	}
	source := "golang.org/x/mod/sumdb/tlog 0.7.0; python -m tests.wire.test_sumdb writes this file"
	out, err := json.MarshalIndent(map[string]interface{}{"source": source, "leaves": leaves, "inclusion": inclusion, "consistency": consistency}, "", " ")
	check(err)
	fmt.Println(string(out))
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "verify" {
		verify(os.Args[2], os.Args[3])
		return
	}
	vectors(os.Args[2:])
}
